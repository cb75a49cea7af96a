"""Analyses of all packets at once: search, compare, prove, blame and lint.

They use the exact packet sets of `simulator.symbolic` and check every example with the packet simulator.
"""
