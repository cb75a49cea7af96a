"""Desired ruleset of one node: compiled in full, or updated event by event.

Input: `ClusterState` or events, and a node name. Output: `DesiredRuleset`. Both ways give the same result.
"""
