"""Metrics and health of a process, and the HTTP server that serves both to Prometheus and Kubernetes."""
