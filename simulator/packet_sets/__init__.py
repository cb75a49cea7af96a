"""Packet sets: exact sets of packets as decision diagrams."""
