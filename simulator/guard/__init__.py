"""Lockout guard: proof, before an apply, that the Node stays reachable."""
