"""Cluster state: folded from events, plus admission checks and field-level diffs of objects.

``fold`` computes `ClusterState` from events, ``admission`` decides which events a submission gives, and ``object_diff``
shows what an event changes.
"""
