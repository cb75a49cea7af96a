"""Commands for event logs: log, which records manifests and maintains logs, and record, which records a cluster."""
