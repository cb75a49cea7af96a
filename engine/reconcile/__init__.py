"""Reconciliation of one node: proposes a plan, applies it, reads it back, and rolls back on failure.

``interfaces`` declares the ports to the outside, ``reconciler`` does the work, ``refusals`` isolates rules that the
kernel refuses.
"""
