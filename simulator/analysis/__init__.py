"""Analyses of all packets at once: search for packets, compare rulesets, prove invariants, blame events, lint rules.

The modules compute with exact packet sets of `simulator.symbolic`. They confirm every example packet with the packet
simulator (`simulator.netfilter`).
"""
