"""Kubernetes adapter: records a cluster's objects as events and reports status back to its API server."""
