"""Rulesets of iptables and ipset as values: model, text formats, diff, plan, intermediate states and digest.

Everything here is free of policies: it also handles rulesets that other programs wrote.
"""
