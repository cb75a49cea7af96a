"""Readers of input files: manifests, configuration and invariants. They report each fault with its file and line.

``yaml_reader`` parses YAML and JSON text. ``manifests`` reads Kubernetes objects, ``configfile`` reads
``nodewall.yaml`` and the environment, ``invariants_file`` reads invariants (requirements on the verdicts of packets).
"""
