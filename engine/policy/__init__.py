"""Policy resolution: from the cluster state to the ordered rules of one node.

Input: `ClusterState` and a node name. Output: `CompletedRule` values. The queries are cached and updated incrementally.
Here too: lifelines, prefix sets, policy spans and relevance of events.
"""
