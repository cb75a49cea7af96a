"""Event logs: records of all changes of a cluster and of the outcomes on its Nodes, chained by hashes.

``sqlite`` stores a log in a file, ``in_memory`` is for tests, ``jsonl`` exports and imports. ``chain`` verifies hashes,
``signing`` and ``checkpoints`` sign, ``compaction`` replaces old events, ``snapshots`` makes reads fast. ``sources``
and ``handoff`` deliver events to the agent; ``filter`` and ``relevant`` select events.
"""
