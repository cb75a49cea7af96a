"""Access to the kernel's netfilter in one network namespace: rules, sets, connections, counters and changes.

``backends`` chooses how to write rules, ``iptables`` reads and writes them, ``cached`` avoids repeated reads.
``nft_changes`` and ``legacy_changes`` detect changes. ``conntrack``, ``counters``, ``hostfacts`` and ``ssh_sessions``
read other facts.
"""
