"""Core of nodewall without side effects: objects, events, state, policies, compiler, rulesets, reconciliation, status.

The modules compute results from values only. They open no file, start no process, read no clock and write no log; the
package :mod:`adapters` does that. ``reconcile`` reaches the kernel and the clock through objects that its callers pass.
"""
