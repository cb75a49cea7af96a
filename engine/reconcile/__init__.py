"""Reconciliation of one Node: propose a plan, apply it, read it back, undo it."""
