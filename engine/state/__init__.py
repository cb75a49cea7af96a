"""State of the cluster: computed from events, with the checks before an event is recorded.

``fold`` computes `ClusterState` from events, ``admission`` checks submitted objects and makes events of them, and
``object_diff`` shows the fields that an event changes.
"""
