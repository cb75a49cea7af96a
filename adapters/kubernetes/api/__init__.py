"""Access to a Kubernetes API server.

``api_client`` sends requests, ``list_watch`` keeps lists up to date, ``object_cache`` turns them into events.
``resources`` has the kinds and their paths, ``leader_election`` uses Leases, ``k8s_events`` writes Kubernetes Events.
"""
