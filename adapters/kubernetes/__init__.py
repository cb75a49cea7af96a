"""Kubernetes adapter: records the objects of a cluster in an event log, and reports status to its API server.

``log_recorder`` records, ``report_writer`` and ``nodefirewall`` report a Node. ``status_controller`` with
``cluster_view`` writes the status of policies. ``agent_uplink`` connects an agent. ``api`` is the access to the API
server, ``admission`` the webhook, ``install`` the manifests.
"""
