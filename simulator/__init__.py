"""Model of netfilter: computes what any iptables or ipset ruleset does to one packet, or to all packets.

The ruleset may come from any tool. The answer names kernel behaviour that the model does not cover as an assumption.
"""
