"""Desired ruleset of one node: compiled in full, or updated event by event.

Input: `ClusterState` or events, and a node name. Output: `DesiredRuleset`. ``full`` compiles it from the state;
``incremental`` gives the same result event by event. ``node_classes`` groups nodes that need the same rules.
"""
