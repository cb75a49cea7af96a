"""Packet simulator: computes the verdict of a ruleset on one packet, and the rules that led to it.

Evaluation follows Linux: tables in the kernel's hook order; ``jump``, ``goto`` and ``RETURN`` as in iptables(8). An
unmodelled match is assumed not to match, and an unmodelled target to do nothing. The result (`Evaluation`) names each
such assumption.

``walker`` evaluates packets, ``program`` prepares the rules, ``targets`` and ``nat`` define the targets, ``answer`` has
the result types.
"""

from engine.rulesets.model import Hook, Ruleset
from simulator.netfilter.answer import Decision, Evaluation, TraceStep, Verdict
from simulator.netfilter.walker import PacketWalk, Walker
from simulator.packets import Packet

__all__ = ["Decision", "Evaluation", "PacketWalk", "TraceStep", "Verdict", "Walker", "simulate"]


def simulate(ruleset: Ruleset, packet: Packet, hook: Hook | None = None) -> Evaluation:
    """Return what the ruleset does to one packet; use a `Walker` for many packets.

    Raises:
        Refused: the ruleset lacks a set or chain that it names, or its chains form a loop.
    """
    return Walker(ruleset).verdict(packet, hook)
