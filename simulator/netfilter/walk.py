"""The walk of one packet through the tables of a hook."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.ruleset import Family, Hook, Ruleset
from simulator.matches.base import UNKNOWN_INTERFACE
from simulator.netfilter.answer import Answer, Decision, Step, Verdict
from simulator.netfilter.program import Block, Line, Program, compile_program
from simulator.netfilter.targets import Act
from simulator.packets import ConnState, Packet

TABLES: Mapping[Hook, tuple[str, ...]] = {
    Hook.PREROUTING: ("raw", "mangle", "nat"),
    Hook.INPUT: ("mangle", "filter", "security", "nat"),
    Hook.FORWARD: ("mangle", "filter", "security"),
    Hook.OUTPUT: ("raw", "mangle", "nat", "filter", "security"),
    Hook.POSTROUTING: ("mangle", "nat"),
}
"""The tables of a hook in the kernel's order (``enum nf_ip_hook_priorities``)."""

_INTERFACES: Mapping[Hook, tuple[bool, bool]] = {
    Hook.PREROUTING: (True, False),
    Hook.INPUT: (True, False),
    Hook.FORWARD: (True, True),
    Hook.OUTPUT: (False, True),
    Hook.POSTROUTING: (False, True),
}
"""Whether a hook's packets have an in and an out interface."""

_DEFAULT_HOOK: Mapping[tuple[bool, bool], Hook] = {
    (True, False): Hook.INPUT,
    (False, True): Hook.OUTPUT,
    (True, True): Hook.FORWARD,
    (False, False): Hook.INPUT,
}


@dataclass(slots=True)
class _Run:
    """One packet on its way: as rules have changed it, the path so far, and what was assumed (an ordered set)."""

    packet: Packet
    trace: list[Step] = field(default_factory=list)
    assumptions: dict[str, None] = field(default_factory=dict)

    def assume(self, decision: Decision, what: str) -> None:
        self.assumptions[f"{decision.table}/{decision.chain} rule {decision.rule}: {what}"] = None

    def matches(self, line: Line) -> bool:
        """Whether all checks hold; one that cannot be known counts as failed, and only then it is an assumption."""
        packet, unknown = self.packet, None
        for test in line.tests:
            held = test.check(packet)
            if held is False:
                return False
            if held is None:
                unknown = unknown or test
        if unknown is not None:
            self.assume(line.decision, f"'{unknown.text}' {unknown.why}; assumed not to match")
        return unknown is None

    def take(self, line: Line, depth: int) -> None:
        """Note a matched rule, and let its target change the packet."""
        by, effect = line.decision, line.effect
        self.trace.append(Step(by.table, by.chain, by.rule, line.target, depth, by.comment))
        if effect.assumption:
            self.assume(by, effect.assumption)
        if effect.change is not None:
            self.packet = effect.change(self.packet)


@dataclass(frozen=True, slots=True)
class _End:
    """How one table ended."""

    verdict: Verdict
    decision: Decision
    reject_with: str | None = None


_VERDICTS: Mapping[Act, Verdict] = {
    Act.ACCEPT: Verdict.ACCEPT,
    Act.DROP: Verdict.DROP,
    Act.REJECT: Verdict.REJECT,
}


class Walker:
    """A ruleset ready for many packets; each family is compiled when its first packet comes."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._programs: dict[Family, Program] = {}

    def verdict(self, packet: Packet, hook: Hook | None = None) -> Answer:
        """Return what becomes of a packet at a hook, by default the one its interfaces tell.

        Raises:
            Refused: the ruleset of the packet's family lacks a set or chain, or has a loop.
        """
        hook = hook or _DEFAULT_HOOK[bool(packet.in_interface), bool(packet.out_interface)]
        program, run, ends = self._program(packet.family), _Run(_at_hook(packet, hook)), list[_End]()
        for table in TABLES[hook]:
            block = program.get(table, {}).get(hook)
            if block is None or (table == "nat" and run.packet.state is not ConnState.NEW):
                continue  # the nat table sees only the first packet of a connection
            ends.append(_table(run, table, block, packet, hook))
            if ends[-1].verdict is not Verdict.ACCEPT:
                break
        return _answer(packet, hook, run, ends)

    def _program(self, family: Family) -> Program:
        if family not in self._programs:
            self._programs[family] = compile_program(self._ruleset, family)
        return self._programs[family]


def _at_hook(packet: Packet, hook: Hook) -> Packet:
    """The packet with just the interfaces the hook has; one it should have but does not name is unknown."""
    has_in, has_out = _INTERFACES[hook]
    inside = (packet.in_interface or UNKNOWN_INTERFACE) if has_in else ""
    outside = (packet.out_interface or UNKNOWN_INTERFACE) if has_out else ""
    if (inside, outside) == (packet.in_interface, packet.out_interface):
        return packet
    return replace(packet, in_interface=inside, out_interface=outside)


def _table(run: _Run, table: str, block: Block, packet: Packet, hook: Hook) -> _End:
    """Walk one table. The raw table comes before connection tracking, so a packet has no connection there yet.

    A packet that returns over the loopback interface still has the one it was sent with.
    """
    veiled = table == "raw" and not (hook is Hook.PREROUTING and packet.in_interface == "lo")
    if veiled:
        run.packet = replace(run.packet, state=ConnState.INVALID)
    end = _walk(run, table, block)
    if veiled and run.packet.state is not ConnState.UNTRACKED:
        run.packet = replace(run.packet, state=packet.state)
    return end


def _walk(run: _Run, table: str, base: Block) -> _End:
    block, at, depth = base, 0, 0
    callers: list[tuple[Block, int, int]] = []
    while True:
        if at == len(block.lines):
            if not callers:
                return _End(Verdict((base.policy or "ACCEPT").lower()), Decision(table, base.name, 0))
            block, at, depth = callers.pop()
            continue
        line = block.lines[at]
        at += 1
        if not run.matches(line):
            continue
        run.take(line, depth)
        act = line.effect.act
        if act in _VERDICTS:
            return _End(_VERDICTS[act], line.decision, line.effect.reject_with)
        if act is Act.RETURN:
            at = len(block.lines)
        elif line.into is not None:
            if act is Act.JUMP:  # after a goto the walk returns to where the last jump came from
                callers.append((block, at, depth))
            block, at, depth = line.into, 0, depth + 1


def _answer(packet: Packet, hook: Hook, run: _Run, ends: list[_End]) -> Answer:
    last = ends[-1] if ends else None
    decider = last
    if last is not None and last.verdict is Verdict.ACCEPT:
        decider = next((end for end in ends if end.decision.table == "filter"), last)
    left = replace(run.packet, in_interface=packet.in_interface, out_interface=packet.out_interface)
    return Answer(
        packet=packet,
        hook=hook,
        verdict=last.verdict if last else Verdict.ACCEPT,
        left=left,
        reject_with=last.reject_with if last else None,
        decided_by=decider.decision if decider else None,
        trace=tuple(run.trace),
        assumptions=tuple(run.assumptions),
    )
