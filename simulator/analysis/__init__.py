"""Analyses of all packets at once: search, comparison of rulesets, proof of invariants, blame, and lint.

Blame finds the event that changed a verdict; lint finds rules without effect. The modules compute with exact packet
sets of `simulator.symbolic`. They confirm every example packet with the packet simulator (`simulator.netfilter`).
"""
