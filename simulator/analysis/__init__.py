"""Analyses of all packets at once: search, compare, prove, blame and lint.

Input: rulesets and questions. Output: verdict changes, proofs or findings, each with an example packet. They compute
with the exact packet sets of `simulator.symbolic` and check every example with the simulator of single packets.
"""
