"""Hooks, tables and chains: what a ruleset does to a packet, and by which rules.

The walk is Linux's: the tables of a hook in the kernel's order, ``jump``, ``goto`` and ``RETURN`` as in iptables(8).
What is not modelled is assumed not to match or not to act, and the answer names every such assumption.
"""

from engine.rulesets.model import Hook, Ruleset
from simulator.netfilter.answer import Decision, Evaluation, TraceStep, Verdict
from simulator.netfilter.walker import PacketWalk, Walker
from simulator.packets import Packet

__all__ = ["Decision", "Evaluation", "PacketWalk", "TraceStep", "Verdict", "Walker", "simulate"]


def simulate(ruleset: Ruleset, packet: Packet, hook: Hook | None = None) -> Evaluation:
    """Return what the ruleset does to one packet; for many packets keep a `Walker`.

    Raises:
        Refused: the ruleset lacks a set or chain that it names, or its chains form a loop.
    """
    return Walker(ruleset).verdict(packet, hook)
