"""A history as far as some packets can hang on it, and what is found out by it."""

from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.eventlog.relevant import abridged
from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import CountedIds, FixedClock
from engine.desired.incremental import derive
from engine.errors import LogCorrupt
from engine.events import EventBody, StoredEvent, declaration_of, deletion_of
from engine.objects import Pod
from engine.policy.relevance import RelevantHistory
from engine.state.fold import ClusterState
from simulator.analysis.blame import blame_history, packet_scope
from simulator.netfilter import Verdict, Walker
from simulator.packets import parse_spec
from tests.support.eventlog.event_logs import damage, log_of
from tests.support.policies.random_clusters import NODE
from tests.support.policies.random_histories import history_of, packets_about, worlds_of
from tests.support.seeds import examples


def verdicts(history: list[EventBody], packets: list[object]) -> list[list[Verdict]]:
    """What becomes of each packet from the start on and after every event, by the whole of each state."""
    now, found = derive(ClusterState(), NODE), []
    for body in [None, *history]:
        now = now if body is None else now.after(body)
        walker = Walker(now.ruleset)
        found.append([walker.verdict(packet).verdict for packet in packets])  # type: ignore[arg-type] # packets
    return found


@examples(8)
@given(st.integers(0, 10**9))
def test_blame_is_a_linear_search(seed: int) -> None:
    """For single packets and for several at once, the events named are the last two that changed the verdict."""
    worlds = worlds_of(str(seed))
    history, packets = history_of(worlds, str(seed)), packets_about(worlds, 2)
    seen = verdicts(history, list(packets))
    with TemporaryDirectory() as folder:
        log = log_of(folder, history)
        for group in (*([packet] for packet in packets), packets):
            told = (
                (row.sequence, body) for row, body in abridged(log, [packet_scope(each, NODE) for each in group]).events
            )
            for packet, fate in zip(group, blame_history(told, NODE, group), strict=True):
                place = packets.index(packet)
                turns = [at for at in range(1, len(seen)) if seen[at][place] is not seen[at - 1][place]]
                assert fate.answer.verdict is seen[-1][place], packet.words
                assert (fate.last.sequence if fate.last else 0) == (turns[-1] if turns else 0), packet.words
                assert (fate.earlier.sequence if fate.earlier else 0) == (turns[-2] if len(turns) > 1 else 0)
                if fate.last:
                    assert fate.last.before.verdict is seen[turns[-1] - 1][place]


@given(st.integers(0, 10**9))
def test_a_glance_passes_over_nothing_that_matters(seed: int) -> None:
    """What is read after a glance at an event's text says the same as all events do."""
    worlds = worlds_of(str(seed))
    history, packets = history_of(worlds, str(seed)), packets_about(worlds, 2)
    with TemporaryDirectory() as folder:
        log = log_of(folder, history)
        for packet in packets:
            concerns = [packet_scope(packet, NODE)]
            whole = RelevantHistory(concerns)
            told = [
                (at, said) for at, body in enumerate(history, 1) if (said := whole.relevant_event(body)) is not None
            ]
            assert [(row.sequence, body) for row, body in abridged(log, concerns).events] == told


def pod(name: str, address: str, labels: dict[str, str] | None = None) -> EventBody:
    """A running Pod of the namespace shop was seen."""
    metadata = {"name": name, "namespace": "shop", "labels": labels or {}}
    status = {"phase": "Running", "podIPs": [{"ip": address}]}
    return declaration_of(
        Pod.model_validate({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})
    )


PACKET = parse_spec("in=eth0 src=10.0.0.1 dst=192.0.2.1 proto=tcp dport=22")


def told_of(folder: str, history: list[EventBody]) -> list[tuple[int, str]]:
    """The sequences and types of what is told for the packet."""
    found = abridged(log_of(folder, history), [packet_scope(PACKET, NODE)]).events
    return [(row.sequence, body.type) for row, body in found]


@example("name", "other")
@given(st.sampled_from(["name", "namespace", "app"]), st.sampled_from(["a", "b", "shop", "other"]))
def test_a_pod_is_followed_by_its_own_name(key: str, value: str) -> None:
    """Labels that look like names do not lead astray; a Pod that gives its address up is gone for these packets."""
    history = [
        pod("b", "10.0.0.2", {key: value}),
        pod("a", "10.0.0.1", {key: value}),
        pod("b", "10.0.0.3", {key: "a"}),
        pod("a", "10.0.0.4", {key: value}),
        deletion_of("Pod", "shop/a"),
        pod("b", "10.0.0.1"),
        deletion_of("Pod", "shop/a"),
        deletion_of("Pod", "shop/b"),
    ]
    with TemporaryDirectory() as folder:
        assert told_of(folder, history) == [
            (2, "pod.observed"),
            (4, "pod.deleted"),
            (6, "pod.observed"),
            (8, "pod.deleted"),
        ]


@pytest.mark.parametrize("damaged", [2, 4])
def test_what_is_told_is_vouched_for(damaged: int, tmp_path: object) -> None:
    """An event that was changed and is read is refused; what is passed over has to stand in the chain."""
    log = log_of(
        str(tmp_path), [pod("b", "10.0.0.2"), pod("a", "10.0.0.1"), pod("c", "10.0.0.2"), deletion_of("Pod", "shop/a")]
    )
    damage(log, damaged)
    with pytest.raises(LogCorrupt, match=f"event {damaged}"):
        list(abridged(log, [packet_scope(PACKET, NODE)]).events)


def test_the_place_in_the_chain_is_looked_at_always() -> None:
    """The text of another event's link is no text to be passed over."""
    with TemporaryDirectory() as folder:
        log = log_of(folder, [pod("b", "10.0.0.2"), pod("c", "10.0.0.3")])
        rows = list(log.rows())
        forged = SqliteLog(f"{folder}/forged", FixedClock(), CountedIds())
        forged.adopt([rows[0], StoredEvent._make((*rows[1][:6], b"0" * 64, rows[1].hash))], expected=0)
        with pytest.raises(LogCorrupt, match="event 2 cannot be trusted: it does not follow"):
            list(abridged(forged, [packet_scope(PACKET, NODE)]).events)
