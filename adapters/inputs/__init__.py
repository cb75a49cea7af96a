"""Readers of input files: manifests, configuration and invariants, with the file and line of each fault."""
