"""Packet sets: exact sets of packets, stored as binary decision diagrams (BDDs).

``space`` turns conditions on packet fields into sets, ``counting`` counts packet headers and picks examples. ``fields``
lists the packet fields, ``value_classes`` groups their values, and ``bdd`` wraps the BDD library. `simulator.symbolic`
evaluates rulesets with these sets.
"""
