"""Reconciliation of one node: proposes a plan, applies it, reads it back, and rolls back on failure.

``interfaces`` and ``log_interfaces`` declare what adapters implement, such as kernel, host, guard, clock and event log;
``reconciler`` does the work; ``refusals`` finds the rules that the kernel refuses.
"""
