"""Lockout guard: proof, before an apply, that the Node stays reachable.

`simulator.guard.guard.LockoutGuard` judges a plan by its lifelines, by invariants and by its intermediate states.
"""
