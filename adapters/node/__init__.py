"""Agent of one Node, and the parts that it shares with the apply commands.

``agent`` runs the loop, ``drift`` applies and repairs, ``wakeups`` waits for work, ``listeners`` and
``report_throttle`` pass on the results. ``journal`` records outcomes, ``node_lock`` locks the Node, ``commit_confirm``
rolls back an unconfirmed apply. ``kill_switch`` and ``removal`` remove the rules; ``support_bundle`` collects
diagnostic data.
"""
