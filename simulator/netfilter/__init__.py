"""Simulator of single packets: the verdict of a ruleset for one packet, with the rules that led to it.

The evaluation follows Linux: tables in the kernel's hook order; ``jump``, ``goto`` and ``RETURN`` as in iptables(8). An
unmodelled match is assumed not to match, an unmodelled target not to act. The `Evaluation` names every such assumption.
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
