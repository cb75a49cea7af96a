"""Input files: manifests, configuration and invariants, read with the place of each fault."""
