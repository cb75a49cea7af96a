"""Exact packet sets say of every packet what the simulator says of it alone."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_tables
from simulator.matches.formula import merged, within
from simulator.netfilter import Verdict, Walker
from simulator.packet_sets.bdd import halves, is_true, top
from simulator.packet_sets.counting import packet_of
from simulator.packet_sets.value_classes import partition
from simulator.symbolic import (
    DecidedPackets,
    ExamplePacket,
    SymbolicContext,
    SymbolicRulesetReader,
    count,
    deciders,
    is_false,
)
from tests.support.packets.packet_drafts import Dice
from tests.support.rulesets.random_rulesets import ruleset
from tests.support.rulesets.ruleset_builders import SOAK
from tests.support.seeds import seeded

WORLDS = 20 * (20 if SOAK else 1)

Ranges = list[tuple[int, int]]
RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair))), max_size=5
)


def drawn(dice: Dice, atlas: SymbolicContext, part: DecidedPackets) -> ExamplePacket:
    """Return a random packet of a set."""
    function, chosen = part.packets, dict[int, bool]()
    while not is_true(function):
        place = top(function)
        assert place is not None
        ways = [(way, value) for way, value in zip(halves(function), (True, False), strict=True) if not is_false(way)]
        function, chosen[place] = dice.choice(ways)
    return ExamplePacket(packet_of(atlas.space, chosen), {}, chosen)


@pytest.mark.parametrize("family", Family)
def test_every_packet_gets_the_verdict_of_its_walk(family: Family) -> None:
    """Packets drawn from every part of every hook get one of the verdicts, by the rule, that a single walk gives."""
    for place in range(WORLDS):
        rules, dice = ruleset(family, f"space {family} {place}"), seeded(f"space {place}")
        library = SymbolicRulesetReader(family)
        world = library.read(rules)
        atlas, walker = SymbolicContext.of(library, [world]), Walker(rules)
        for hook in Hook:
            fates = atlas.fates(world, hook)
            parts = deciders(fates, fates.packets)
            possible = [(part, atlas.space.somehow(part.packets)) for part in parts]
            for shown in (drawn(dice, atlas, part) for part in parts):
                answer = walker.verdict(shown.packet, hook)
                told = [(part.verdict, part.decision) for part, found in possible if shown.is_in(found)]
                assert (answer.verdict, answer.decided_by) in told, (place, hook, shown.packet.words, told)


@pytest.mark.parametrize("family", Family)
def test_every_packet_has_one_fate(family: Family) -> None:
    """The verdicts share out all packets of a hook, and so do those who decide."""
    library = SymbolicRulesetReader(family)
    world = library.read(ruleset(family, f"shares {family}"))
    atlas = SymbolicContext.of(library, [world])
    for hook in Hook:
        fates = atlas.fates(world, hook)
        for shares in (list(fates.verdicts.values()), [part.packets for part in deciders(fates, fates.packets)]):
            left = fates.packets
            for share in shares:
                assert is_false(share & ~left)
                left &= ~share
            assert is_false(left)


@given(st.lists(RANGES, max_size=24))
def test_a_class_holds_values_that_no_condition_tells_apart(wanted: list[Ranges]) -> None:
    """Each condition is satisfied by whole classes, and there are no more classes than kinds of values."""
    conditions = [within("ttl", *ranges) for ranges in wanted]
    parts = partition(0, 63, conditions)

    kinds = {tuple(_satisfies(value, ranges) for ranges in wanted) for value in range(64)}
    assert parts.count == len(kinds)
    for condition, ranges in zip(conditions, wanted, strict=True):
        members = set(parts.members(condition).tolist())
        assert [parts.class_of(value) in members for value in range(64)] == [_satisfies(v, ranges) for v in range(64)]


@given(RANGES)
def test_ranges_that_touch_become_one(ranges: Ranges) -> None:
    """Merged ranges hold the same values, in order and apart."""
    lows, highs = merged(ranges)

    assert {value for low, high in zip(lows, highs, strict=True) for value in range(low, high + 1)} == {
        value for low, high in ranges for value in range(low, high + 1)
    }
    assert all(high + 1 < low for high, low in zip(highs, list(lows)[1:], strict=False))
    assert all(before < after for before, after in pairwise(lows))


def _satisfies(value: int, ranges: Ranges) -> bool:
    return any(low <= value <= high for low, high in ranges)


def test_packets_are_counted_by_their_headers() -> None:
    """A rule for one port counts every source, destination and source port, whatever else a packet may be."""
    rules = parse_tables("*filter\n:INPUT DROP [0:0]\n-A INPUT -s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT\nCOMMIT\n")
    library = SymbolicRulesetReader(Family.IPV4)
    world = library.read(Ruleset(ipv4=rules))
    atlas = SymbolicContext.of(library, [world])

    accepted = atlas.fates(world, Hook.INPUT).verdicts[Verdict.ACCEPT]

    assert count(atlas.space, accepted) == 2**24 * 2**32 * 2**16
