"""Packet sets: exact sets of packets as binary decision diagrams (BDDs).

`simulator.packet_sets.space.PacketSpace` turns conditions on packet fields into sets. `simulator.packet_sets.counting`
counts headers and picks examples. `simulator.symbolic` evaluates rulesets with these sets.
"""
