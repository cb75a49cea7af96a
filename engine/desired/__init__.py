"""Desired ruleset of one Node, compiled in full or kept up event by event."""
