"""Access to the kernel's netfilter in one network namespace: rules, sets, connections, counters and changes.

``backends`` chooses the variant of iptables, ``iptables`` reads and writes rules and sets, ``cached`` avoids repeated
reads. ``nft_changes`` and ``legacy_changes`` detect changes. ``conntrack``, ``counters``, ``hostfacts`` and
``ssh_sessions`` read connections, counters, host facts and SSH sessions.
"""
