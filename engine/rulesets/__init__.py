"""Rulesets of iptables and ipset as immutable values, whichever program wrote them: model, text formats, diff and plan.

``model`` defines the values, ``text`` parses and renders the formats of the tools. ``canonical`` makes rules with the
same meaning compare as equal. ``diff`` computes changes, ``plan`` orders them, ``transitions`` computes the kernel
states in between. ``digest`` hashes a ruleset; ``ownership`` names what nodewall owns. No module here depends on
policies.
"""
