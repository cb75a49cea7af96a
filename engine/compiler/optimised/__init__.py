"""Optimised layout: arranges compiled rules so that a packet meets few kernel rules.

``layout`` is the entry point; the other modules are its data structures. Input: `UnitWithSet` values. Output:
`OptimisedLayout`.
"""
