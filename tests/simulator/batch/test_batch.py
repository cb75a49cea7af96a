"""Batches of packets get the answers that single walks give."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.desired.full import desired_ruleset
from engine.errors import Fault, Refused
from engine.rulesets.model import Chain, Family, Hook, IpSet, Match, Rule, Ruleset, Table, Target
from simulator.batch import (
    VERDICTS,
    BatchEvaluator,
    BatchEvaluators,
    Columns,
    answers,
    columns_of,
    columns_of_wires,
    judged_wires,
)
from simulator.batch.evaluator import BLOCK
from simulator.batch.stream import FEW
from simulator.context import Host, PacketContext
from simulator.netfilter import Walker
from simulator.packets import ConnState, Packet, from_wire, to_wire
from tests.support.packets.edge_packets import packets_of
from tests.support.packets.field_edges import HOST, packets, rulesets
from tests.support.packets.packet_builders import SPEC, SPEC6, filtering, match, packet
from tests.support.packets.packet_strategies import packets as wire_packets
from tests.support.packets.rule_edge_packets import Aim
from tests.support.policies.random_clusters import NODE, drawn
from tests.support.rulesets.ruleset_builders import observed_rulesets
from tests.support.rulesets.saved_rulesets import NAMES, ruleset_of
from tests.support.seeds import seeded


def agrees(ruleset: Ruleset, seen: Sequence[Packet], hook: Hook, host: Host | None) -> None:
    """A batch of packets gets the verdicts, ways of rejection and deciders that walks give."""
    walker = Walker(ruleset)
    for columns in columns_of(seen):
        judged = BatchEvaluator(walker, columns.family, host).judge(columns, hook)
        for row, place in enumerate(columns.at):
            answer = walker.verdict(seen[place], hook, PacketContext(host))
            end = judged.end(row)
            found = (end.verdict, end.reject_with, end.decision) if end else ("accept", None, None)
            assert found == (answer.verdict, answer.reject_with, answer.decided_by), (answer, seen[place].words)
            more = answer.assumptions or answer.logged_by or answer.left != seen[place]
            assert not more or judged.walked[row] or judged.told[row], answer


@given(
    st.data(), st.sampled_from(tuple(Hook)), st.lists(packets(), min_size=1, max_size=40), st.sampled_from((None, HOST))
)
def test_a_batch_is_judged_as_each_packet_alone(
    data: st.DataObject, hook: Hook, seen: list[Packet], host: Host | None
) -> None:
    """Whatever the rules ask and do, batches and walks give the same answers at every hook."""
    agrees(data.draw(rulesets(hook)), seen, hook, host)


@given(observed_rulesets(), st.lists(packets(), min_size=1, max_size=40), st.sampled_from((Hook.INPUT, Hook.OUTPUT)))
def test_rulesets_as_observed_are_judged_alike(ruleset: Ruleset, seen: list[Packet], hook: Hook) -> None:
    """So do rules of nodewall among others' rules."""
    agrees(ruleset, seen, hook, None)


@given(observed_rulesets(), st.lists(packets(), min_size=1, max_size=20))
def test_answers_of_batches_are_those_of_walks(ruleset: Ruleset, seen: list[Packet]) -> None:
    """Whether few packets are walked or many judged at once, all that an answer tells is the same but for the path."""
    walker = Walker(ruleset)
    many = [seen[place % len(seen)] for place in range(FEW)]
    whole = [replace(walker.verdict(packet), trace=()) for packet in many]
    assert [replace(answer, trace=()) for answer in answers(walker, many)] == whole
    logged = [answer.logged_by for answer in answers(walker, many)]
    assert logged == [walker.verdict(packet).logged_by for packet in many]


@pytest.mark.parametrize("name", NAMES)
def test_real_rulesets_are_judged_alike(name: str) -> None:
    """Packets aimed at what real firewalls wrote are judged alike at every hook, whether the node is known or not."""
    ruleset, dice = ruleset_of(name), seeded(name)
    states = (ConnState.NEW, ConnState.NEW, ConnState.ESTABLISHED, ConnState.INVALID)
    for family in Family:
        if any(chain.rules for found, _, chain in ruleset.chains() if found is family):
            aimed = islice(Aim(ruleset, family, HOST, name).packets(), 200)
            seen = [replace(each, state=dice.choice(states)) for each in aimed]
            for hook, host in product(Hook, (None, HOST)):
                agrees(ruleset, seen, hook, host)


def test_compiled_policies_are_judged_alike() -> None:
    """In random worlds, batches and walks of compiled rules agree on every packet that is aimed at them."""
    decided = 0
    for number in range(20):
        world = drawn(f"batch {number}")
        walker, seen = Walker(desired_ruleset(world.state, NODE).ruleset), packets_of(world, 200)
        for columns in columns_of(seen):
            judged = BatchEvaluator(walker, columns.family).judge(columns, Hook.INPUT)
            for row, place in enumerate(columns.at.tolist()):
                answer, end = walker.verdict(seen[place], Hook.INPUT), judged.end(row)
                found = (end.verdict, end.decision) if end else ("accept", None)
                assert found == (answer.verdict, answer.decided_by)
            decided += len(judged.verdicts) - int(judged.walked.sum())
    assert decided > 1000


def test_what_sets_count_is_seen_by_later_rules() -> None:
    """A packet that was counted at one rule, matched or not, is found counted at the next."""
    looks = match("set", "match-set", "s", "src")
    counts = Rule((looks, match("tcp", "dport", "1")), Target("ACCEPT"))
    asks = Rule((looks, match("set", "packets-gt", "1")), Target("DROP"))
    counted = IpSet("s", "hash:ip", Family.IPV4, (("10.0.0.1",),), (("counters", ""),))
    agrees(filtering(Chain("INPUT", (counts, asks), "ACCEPT"), sets=(counted,)), [packet("in=eth0")], Hook.INPUT, None)


def test_many_connected_rules_fill_several_words() -> None:
    """Where chains have more rules than a group of words has bits, the first that fits still decides."""
    hosts = [match("", "source", f"10.0.{number >> 8}.{number & 255}/32") for number in range(9000)]
    inner = Chain("A", tuple(Rule((host,), Target("DROP")) for host in hosts))
    rules = filtering(Chain("INPUT", (Rule((), Target("A")), Rule((), Target("REJECT"))), "ACCEPT"), inner)
    seen = [packet(f"in=eth0 src=10.0.{number >> 8}.{number & 255}") for number in range(0, 9100, 70)]
    agrees(rules, seen, Hook.INPUT, None)
    (columns,) = columns_of(seen)
    judged = BatchEvaluator(Walker(rules), Family.IPV4).judge(columns, Hook.INPUT)
    assert not judged.walked.any()


def test_marks_that_rules_give_are_seen_by_later_ones() -> None:
    """A batch goes on with the marks that rules gave it, in the same table and in the next."""
    marking = Rule((match("tcp", "dport", "22"),), Target("MARK", (Match("", "set-xmark", ("0x4/0x4",)),)))
    marked = Rule((match("mark", "mark", "0x4/0x4"),), Target("DROP"))
    tables = (
        Table("mangle", (Chain("INPUT", (marking, marked), "ACCEPT"),)),
        Table("filter", (Chain("INPUT", (marked,), "ACCEPT"),)),
    )
    for some in (tables, (replace(tables[0], chains=(Chain("INPUT", (marking,), "ACCEPT"),)), tables[1])):
        (columns,) = columns_of([packet(f"in=eth0 dport={port} mark=0x{mark}") for port in (22, 80) for mark in (1, 4)])
        judged = BatchEvaluator(Walker(Ruleset(ipv4=some)), Family.IPV4).judge(columns, Hook.INPUT)
        assert [VERDICTS[place] for place in judged.verdicts] == ["drop", "drop", "accept", "drop"]
        assert not judged.walked.any()


def test_only_packets_that_come_to_a_payload_match_are_walked() -> None:
    """A match on the payload sends just the packets to a walk that come to it and satisfy the rest of its rule."""
    asks = Rule((match("", "protocol", "udp"), match("string", "string", "x")), Target("DROP"))
    (columns,) = columns_of([packet(f"in=eth0 proto={name}") for name in ("tcp", "udp")])
    walker = Walker(filtering(Chain("INPUT", (asks,), "ACCEPT")))
    assert BatchEvaluator(walker, Family.IPV4).judge(columns, Hook.INPUT).walked.tolist() == [False, True]


# Columns from bytes


@st.composite
def wires(draw: st.DrawFn) -> bytes:
    """Bytes of a packet, now and then with options or extension headers, cut, or no packet at all."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=80))
    whole = to_wire(replace(draw(wire_packets()), length=draw(st.sampled_from((None, 120)))))
    if kind == 1:
        return whole[: draw(st.integers(0, len(whole)))]
    if kind == 2:
        return bytes([whole[0], whole[1], 0, 0, *whole[4:]])  # a length left to the network card, or no payload
    if kind == 3 and whole[0] >> 4 == 6:
        return whole[:6] + b"\x3c" + whole[7:40] + whole[6:7] + b"\0\1\4\0\0\0\0" + whole[40:]
    if kind == 3:
        return b"\x46" + whole[1:20] + b"\1\1\1\1" + whole[20:]
    return whole


def _rows(columns: Sequence[Columns]) -> dict[int, object]:
    """Every row by its place, as values."""
    return {
        place: (
            each.family,
            *(int(word[row]) for word in (*each.src, *each.dst)),
            {name: each.value(name, int(column[row])) for name, column in sorted(each.numbers.items())},
            bool(each.single[row]),
        )
        for each in columns
        for row, place in enumerate(each.at.tolist())
    }


@given(st.lists(wires(), max_size=20))
def test_bytes_are_read_as_one_by_one(data: list[bytes]) -> None:
    """Columns from bytes are those of the packets that are read from them one by one; the same bytes are refused."""
    reading = columns_of_wires(data, in_interface="eth0")
    packets_, places = [], []
    for place, wire in enumerate(data):
        with suppress(Refused):
            packets_.append(from_wire(wire, in_interface="eth0"))
            places.append(place)
    assert _rows(reading.columns) == _rows(columns_of(packets_, places))
    assert sorted([*places, *reading.unreadable]) == list(range(len(data)))
    for columns in reading.columns:
        for row, place in enumerate(columns.at.tolist()):
            assert columns.packet(row) == packets_[places.index(place)]


@given(st.data(), st.sampled_from(tuple(Hook)), st.lists(wires(), min_size=1, max_size=20))
def test_bytes_are_judged_as_each_packet_alone(data: st.DataObject, hook: Hook, read: list[bytes]) -> None:
    """Packets that know their bytes are judged as they are one by one, whatever rules ask of these."""
    walker = Walker(data.draw(rulesets(hook)))
    for columns in columns_of_wires(read, in_interface="eth0", out_interface="eth1").columns:
        judged = BatchEvaluator(walker, columns.family).judge(columns, hook)
        for row in range(len(columns)):
            answer, end = walker.verdict(columns.packet(row), hook), judged.end(row)
            found = (end.verdict, end.reject_with, end.decision) if end else ("accept", None, None)
            assert found == (answer.verdict, answer.reject_with, answer.decided_by), columns.packet(row).words


def test_what_came_before_a_damaged_capture_is_answered() -> None:
    """Packets that were read before their source is refused are answered before it is."""

    def damaged() -> Iterator[Packet]:
        yield packet("in=eth0")
        raise Refused((Fault("a.pcap", "it is damaged", "a whole capture"),))

    found = answers(Walker(Ruleset()), damaged())
    assert next(found).verdict == "accept"
    with pytest.raises(Refused, match="damaged"):
        next(found)


def test_bytes_are_judged_block_by_block() -> None:
    """Bytes of more packets than a block holds are judged in order, those of both families and those that are none."""
    four, six = (to_wire(packet("", base)) for base in (SPEC, SPEC6))
    wires_ = [four, six, b"x"] * (BLOCK // 3 + 1)
    rules = Chain("INPUT", (Rule((match("tcp", "dport", "22"),), Target("DROP")),), "ACCEPT")
    found = list(judged_wires(BatchEvaluators(Walker(filtering(rules))), wires_, Hook.INPUT))
    assert len(found) == 2
    fared = Counter(
        (columns.family, VERDICTS[place])
        for reading, several in found
        for columns, judged in zip(reading.columns, several, strict=True)
        for place in judged.verdicts
    )
    assert fared == {(Family.IPV4, "drop"): len(wires_) // 3, (Family.IPV6, "accept"): len(wires_) // 3}
    assert sum(len(reading.unreadable) for reading, _ in found) == len(wires_) // 3
