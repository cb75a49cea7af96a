"""Kubernetes manifests that install nodewall: definitions, RBAC, workloads."""
