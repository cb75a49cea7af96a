"""Access to the netfilter of one network namespace: rules, sets, connections, counters and detection of changes."""
