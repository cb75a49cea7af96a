"""Which events made the fates of a whole set of packets what they are."""

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from engine.events import EventBody
from engine.policy.relevance import RelevantHistory
from engine.rulesets.model import Hook
from simulator.analysis.blame import BlameResult, blame_history, packet_scope, rulesets
from simulator.analysis.blame_regions import PacketRegion, RegionChange, blame_packet_set, region_scopes
from simulator.expression import parse
from simulator.netfilter.walker import hook_of
from simulator.packets import Packet, parse_spec, protocol_names
from simulator.symbolic.context import UNLIMITED
from tests.support.policies.random_clusters import NODE
from tests.support.policies.random_histories import history_of, worlds_of
from tests.support.seeds import examples

WHERE = (
    "",
    "tcp dst port 22 or udp",
    "src net 10.0.0.0/8",
    "ip6 and tcp",
    "src host 10.1.2.130 and tcp",
    "icmp or icmp6",
    "dst host 100.64.0.2",
)


NOBODY = parse_spec("src=192.0.2.99 dst=192.0.2.1 proto=tcp")


def fate_of(history: list[EventBody], packet: Packet) -> BlameResult:
    """What became of a packet by the whole history."""
    return blame_history(enumerate(history, 1), NODE, [packet])[0]


@examples(5)
@given(st.integers(0, 10**9), st.sampled_from(WHERE), st.sampled_from([Hook.INPUT, Hook.OUTPUT]))
def test_each_packet_is_blamed_on_the_event_that_it_alone_is_blamed_on(seed: int, where: str, hook: Hook) -> None:
    """The example of each change, and of what no event changed."""
    history = history_of(worlds_of(str(seed), 3), str(seed))
    region = PacketRegion(NODE, hook, parse(where))
    told = RelevantHistory(region_scopes(region, UNLIMITED))
    history_told = [(at, said) for at, body in enumerate(history, 1) if (said := told.relevant_event(body)) is not None]
    found, rests = blame_packet_set(list(rulesets(history_told, NODE)), region, 1000, UNLIMITED)

    assert [shift.sequence for shift in found] == sorted({shift.sequence for shift in found}, reverse=True)
    # Of an example that rests on an assumption, as of IGMP's types, the packet does not tell all.
    sure = [(change, shift.sequence) for shift in found for change in shift.changes[:3] if not change.assumptions]
    examples = [(change.example, sequence) for change, sequence in sure]
    for packet, sequence in [*examples, *((rest.example, 0) for rest in rests)]:
        if hook_of(packet) is hook and packet.protocol != protocol_names.IGMP:
            fate = fate_of(history, packet)
            assert (fate.last.sequence if fate.last else 0) == sequence, packet.words


def said(shift: RegionChange) -> RegionChange:
    """A shift without the packets that are examples, which may be others where fewer rulesets are known."""
    return replace(shift, changes=tuple(replace(change, example=NOBODY) for change in shift.changes))


@examples(5)
@given(st.integers(0, 10**9))
@example(25718)  # a space that knew eth1 named it beside eth+
@example(268435455)
def test_of_many_events_the_last_ones_are_told(seed: int) -> None:
    """A limit leaves the older ones out, and says which packets are left."""
    history = list(enumerate(history_of(worlds_of(str(seed), 3), str(seed)), 1))
    region = PacketRegion(NODE, Hook.INPUT, parse("tcp"))
    known = list(rulesets(history, NODE))
    found, rests = blame_packet_set(known, region, 1000, UNLIMITED)
    some, others = blame_packet_set(known, region, 1, UNLIMITED)

    assert [*map(said, some)] == [*map(said, found[:1])]
    assert sum(rest.count for rest in others) >= sum(rest.count for rest in rests)


def test_a_packet_alone_has_a_concern_with_its_far_end() -> None:
    """What a region of one packet can hang on is what the packet can."""
    region = PacketRegion(NODE, Hook.INPUT, parse("src host 10.0.0.1 and tcp dst port 22"))
    (found,) = region_scopes(region, UNLIMITED)
    alone = packet_scope(parse_spec("in=eth0 src=10.0.0.1 dst=192.0.2.1 proto=tcp dport=22"), NODE)
    assert found == alone
