"""Kubernetes manifests that install nodewall, for the commands crds and manifests.

``crds`` builds the CustomResourceDefinitions, ``rbac`` the rights, ``install_manifests`` the workloads.
"""
