"""Policy resolution: from the cluster state to the ordered rules of one node.

Input: `ClusterState` and a node name. Output: `CompletedRule` values. ``resolve`` is the entry point; ``peers`` finds
the addresses of selectors and groups, and ``incremental`` caches and updates the results. ``prefix_sets`` converts
addresses to set entries. ``lifelines`` lists traffic that must stay possible, ``policy_spans`` the nodes of a policy,
and ``relevance`` filters events that can affect given packets.
"""
