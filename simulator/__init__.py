"""Model of netfilter: computes verdicts of packets and packet sets against any iptables, ipset or nftables ruleset.

The ruleset may come from any tool. Kernel behaviour that the model does not cover is an assumption named in the answer.
"""
