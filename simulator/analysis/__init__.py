"""Questions about all packets: search, compare, prove, blame and lint."""
