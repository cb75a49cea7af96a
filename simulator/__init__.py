"""Simulator of netfilter: computes verdicts of packets and packet sets for any ruleset of iptables and ipset.

The ruleset may come from any tool. If an answer depends on kernel behaviour that is not modelled, it names the
assumption. ``netfilter`` simulates one packet, ``batch`` many packets, ``symbolic`` all packets at once; ``analysis``
builds on them.
"""
