"""Netfilter of one network namespace: rules, sets, connections, counters and change detection."""
