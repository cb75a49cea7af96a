"""Comparison of two rulesets: finds all packets whose verdict differs, grouped by old and new deciding rule.

Input: the old and the new `Ruleset`. Output: a `VerdictChange` per group, with a number of packet headers, an example
packet and a summary.

Raises `Refused` if a rule refers to a missing set or chain, or if jumps form a loop. Raises `NoProof` if the budget of
memory or time is exceeded, and `WitnessMismatch` if the packet simulator computes another verdict for an example.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from engine.errors import printable
from engine.rulesets.model import Family, Hook, Ruleset
from simulator.analysis.witness import assumed_results, confirm_example
from simulator.context import LOOPBACK
from simulator.matches.formula import STATES
from simulator.netfilter import Decision, Verdict
from simulator.packet_sets.fields import ABSENT
from simulator.packet_sets.space import OTHERS, PacketSpace
from simulator.packets import Packet, protocol_names
from simulator.symbolic import (
    BddFunction,
    Budget,
    DecidedPackets,
    ExamplePacket,
    HookOutcome,
    SymbolicContext,
    SymbolicRuleset,
    SymbolicRulesetReader,
    count,
    deciders,
    example,
    is_false,
    labelled,
    values,
    within_limits,
)
from simulator.symbolic.context import UNLIMITED

FieldHulls = Mapping[str, tuple[str, ...]]
"""Values per SPEC key: networks, ranges or names. A missing key means any value."""

MOST_VALUES = 8
"""Maximum number of values listed for a field; more are reported as one range."""


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """Packets at one hook whose verdict changes, with one old and one new deciding rule.

    ``count`` is the number of distinct headers. ``hull`` gives the values of each field.
    """

    hook: Hook
    family: Family
    was: Verdict
    now: Verdict
    count: int
    example: Packet
    old_decided_by: Decision | None
    new_decided_by: Decision | None
    hull: FieldHulls
    assumptions: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The change as a sentence."""
        was, now = verdict_text(self.was, self.old_decided_by), verdict_text(self.now, self.new_decided_by)
        return f"{traffic_text(self.hull, self.family)} changes from {was} to {now}"


def compare(
    old: Ruleset, new: Ruleset, families: Sequence[Family] = tuple(Family), budget: Budget = UNLIMITED
) -> tuple[VerdictChange, ...]:
    """Return all packets whose verdict differs, by hook, the largest groups of each hook first.

    Raises:
        Refused: A ruleset lacks a set or chain, or has a loop.
        NoProof: The budget of memory or time is exceeded.
        WitnessMismatch: The packet simulator disagrees.
    """
    return tuple(change for family in families for change in _of_family(old, new, family, budget))


def _of_family(old: Ruleset, new: Ruleset, family: Family, budget: Budget) -> Iterator[VerdictChange]:
    library = SymbolicRulesetReader(family)
    before, after = library.read(old), library.read(new)
    if before.hooks == after.hooks:
        return
    atlas = SymbolicContext.of(library, [before, after], budget=budget)
    yield from changes(atlas, before, after)


def changes(atlas: SymbolicContext, before: SymbolicRuleset, after: SymbolicRuleset) -> Iterator[VerdictChange]:
    """Yield the differences of two rulesets in one symbolic context; errors are those of `compare`."""
    for hook in Hook:
        if before.hooks[hook] != after.hooks[hook]:
            found = _at_hook(atlas, before, after, hook)
            yield from sorted(found, key=lambda change: (-change.count, change.summary))


def _at_hook(
    atlas: SymbolicContext, before: SymbolicRuleset, after: SymbolicRuleset, hook: Hook
) -> Iterator[VerdictChange]:
    for found, _ in changes_at_hook(atlas, (before, after), hook):
        yield found


def changes_at_hook(
    atlas: SymbolicContext,
    worlds: tuple[SymbolicRuleset, SymbolicRuleset],
    hook: Hook,
    among: BddFunction | None = None,
) -> Iterator[tuple[VerdictChange, BddFunction]]:
    """Yield the differences at one hook, each with its packet set.

    Args:
        atlas: The symbolic context of both rulesets.
        worlds: The old and the new ruleset.
        hook: The hook.
        among: Limits the comparison to these packets, if given.
    """
    before, after = worlds
    within = atlas.touched(before, after, hook)
    with within_limits():
        within = within if among is None else within & among
    then, now = (atlas.fates(world, hook, within) for world in worlds)
    with within_limits():
        for was in Verdict:
            for becomes in Verdict:
                both = then.verdicts[was] & now.verdicts[becomes]
                both = both if among is None else both & among
                if was is not becomes and not is_false(both):
                    for first, second, packets in _pairs(then, now, both):
                        shown = example(atlas.space, packets)
                        if shown is not None:
                            yield _change(atlas, worlds, hook, (first, second), shown, packets), packets


def _pairs(
    then: HookOutcome, now: HookOutcome, whose: BddFunction
) -> Iterator[tuple[DecidedPackets, DecidedPackets, BddFunction]]:
    for first in deciders(then, whose):
        for second in deciders(now, first.packets):
            yield first, second, second.packets


def _change(
    atlas: SymbolicContext,
    worlds: tuple[SymbolicRuleset, SymbolicRuleset],
    hook: Hook,
    ends: tuple[DecidedPackets, DecidedPackets],
    shown: ExamplePacket,
    packets: BddFunction,
) -> VerdictChange:
    (before, after), (first, second) = worlds, ends
    confirm_example(before.ruleset, hook, shown, first.verdict, first)
    confirm_example(after.ruleset, hook, shown, second.verdict, second)
    return VerdictChange(
        hook,
        atlas.space.family,
        first.verdict,
        second.verdict,
        count(atlas.space, packets),
        shown.packet,
        first.decision,
        second.decision,
        hull(atlas.space, packets),
        tuple(dict.fromkeys((*assumed_results(before.ruleset, shown), *assumed_results(after.ruleset, shown)))),
    )


def hull(space: PacketSpace, packets: BddFunction) -> FieldHulls:
    """Return the values of each field in a packet set, without the fields that may have any value."""
    family = space.family
    found: dict[str, tuple[str, ...]] = {}
    for key, name in (("in", "in_interface"), ("out", "out_interface")):
        told = _interfaces(labelled(space, packets, name), space.axes[name].labels)
        if told:
            found[key] = told
    for name in ("src", "dst"):
        ranges = values(space, packets, name)
        if ranges != [(0, space.axes[name].field.last)]:
            found[name] = _networks(ranges, family)
    protocols = values(space, packets, "protocol")
    if protocols != [(0, 0xFF)]:
        numbers = [number for low, high in protocols for number in range(low, high + 1)]
        found["proto"] = _shortened(
            [protocol_names.protocol_name(number, family) for number in numbers[: MOST_VALUES + 1]]
        )
    for name in ("sport", "dport"):
        ranges = [(max(low, 0), high) for low, high in values(space, packets, name) if high != ABSENT]
        if ranges and ranges != [(0, 0xFFFF)]:
            found[name] = _spans(ranges)
    messages = [(low, high) for low, high in values(space, packets, "icmp") if high != ABSENT]
    if messages and messages not in ([(0, 0xFFFF)], [(ABSENT, 0xFFFF)]):
        found["icmp"] = _shortened([_icmp_text(low, high) for low, high in messages])
    states = [number for low, high in values(space, packets, "state") for number in range(low, high + 1)]
    if len(states) < len(STATES):
        found["state"] = tuple(STATES[number].lower() for number in states)
    return found


def _interfaces(there: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Return interfaces by name, or the excluded ones; an exclusion of loopback alone is not named."""
    if OTHERS not in there:
        return _widest(label for label in there if label)
    lacking = _widest(label for label in labels if label and label not in there)
    return tuple(f"!{label}" for label in lacking) if set(lacking) - {LOOPBACK} else ()


def _widest(labels: Iterable[str]) -> tuple[str, ...]:
    """Return names without those that a pattern such as ``eth+`` among them covers.

    A space that knows more names has more labels, and the answer must not depend on that.
    """
    every = tuple(labels)
    patterns = [label[:-1] for label in every if label.endswith("+")]
    return tuple(
        label for label in every if not any(label.startswith(start) and label != f"{start}+" for start in patterns)
    )


def _networks(ranges: Sequence[tuple[int, int]], family: Family) -> tuple[str, ...]:
    kind = IPv4Address if family is Family.IPV4 else IPv6Address
    if len(ranges) <= MOST_VALUES:
        nets = [net for low, high in ranges for net in summarize_address_range(kind(low), kind(high))]
        if len(nets) <= MOST_VALUES:
            return tuple(str(net) if net.prefixlen < net.max_prefixlen else str(net.network_address) for net in nets)
    return (f"{kind(ranges[0][0])}-{kind(ranges[-1][1])}",)


def _spans(ranges: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    if len(ranges) > MOST_VALUES:
        return (f"{ranges[0][0]}-{ranges[-1][1]}",)
    return tuple(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def _icmp_text(low: int, high: int) -> str:
    if low >> 8 == high >> 8 and (low & 0xFF, high & 0xFF) != (0, 0xFF):
        return f"{low >> 8}/{low & 0xFF}" if low == high else f"{low >> 8}/{low & 0xFF}-{high & 0xFF}"
    return str(low >> 8) if low >> 8 == high >> 8 else f"{low >> 8}-{high >> 8}"


def _shortened(found: Sequence[str]) -> tuple[str, ...]:
    return tuple(found[:MOST_VALUES]) + (("…",) if len(found) > MOST_VALUES else ())


def traffic_text(found: FieldHulls, family: Family) -> str:
    """Describe the packets of a hull in words."""
    said = {key: _listed(listed) for key, listed in found.items()}
    if "new" in found.get("state", ()):
        del said["state"]  # what begins connections is what people mean by packets
    protocol = said.get("proto", "").upper() or f"all {family.value}"
    words = [protocol if "…" not in protocol else f"{family.value} of many protocols"]
    if "dport" in said or "icmp" in said:
        words.append(said.get("dport") or said["icmp"])
    words += [f"{word} {said[key]}" for key, word in _FIELD_WORDS.items() if key in said]
    return " ".join(words)


def _listed(words: Sequence[str]) -> str:
    told = printable(", ".join(word.removeprefix("!") for word in words))
    return f"any but {told}" if words and words[0].startswith("!") else told


_FIELD_WORDS = {"src": "from", "sport": "from port", "dst": "to", "in": "in by", "out": "out by", "state": "in state"}


def verdict_text(verdict: Verdict, decision: Decision | None) -> str:
    """Describe a verdict and its source: a policy, or a rule of the host's own."""
    if decision is None:
        return f"{verdict} (nothing decides)"
    if decision.policy:
        return f"{verdict} (policy {printable(decision.policy)}, rule {printable(decision.policy_rule or '')})"
    place = printable(f"{decision.table}/{decision.chain}")
    return f"{verdict} ({place} rule {decision.rule})" if decision.rule else f"{verdict} (policy of chain {place})"
