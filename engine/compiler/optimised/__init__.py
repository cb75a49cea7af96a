"""Optimised layout: arranges compiled rules so that the kernel checks few of them per packet, even with many policies.

Input: `UnitWithSet` values (parts of policy rules with their address sets). Output: `OptimisedLayout`. ``layout`` is
the entry point. ``terms`` splits rules into protocol, ports, addresses and decision. ``port_tree`` finds rules by port;
``prefix_index``, ``first_match`` and ``set_merging`` find them by address. ``subtraction`` removes addresses that
earlier rules decide, and ``builder`` collects the chains and sets.
"""
