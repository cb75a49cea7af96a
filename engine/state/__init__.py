"""Cluster state: folded from events, and the checks that decide which changes it admits."""
