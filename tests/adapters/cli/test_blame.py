"""``nodewall blame``: which event made a verdict what it is."""

import json
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters import wiring
from adapters.application.past.steps import HistoryWalk
from adapters.application.selection import changes_of
from adapters.cli.history.moments import moments
from engine.state.admission import SubmitMode
from engine.state.fold import ClusterState, fold
from simulator.netfilter import Walker
from simulator.packets import parse_spec
from tests.support.cli.command_line import Run
from tests.support.policies.issue_5671 import CHANGED, NODES, POLICY
from tests.support.seeds import examples

PARTNER = "in=eth0 src=203.0.113.7 dst=192.168.77.1 proto=tcp dport=6443"
SSH = "in=eth0 src=203.0.113.7 dst=192.168.77.1 proto=tcp dport=22"


def test_the_event_that_changed_the_verdict_is_named(run: Run, log: str) -> None:
    """The event that let the partner in, and the one before that kept it out."""
    code, out, err = run("blame", "--log", log, "--node", "cp-1", "--packet", PARTNER, "-o", "json")

    assert (code, err) == (0, [])
    found = json.loads(out)
    assert (found["verdict"], found["before"]) == ("accept", "drop")
    assert (found["event"]["sequence"], found["event"]["object"]) == (5, "ClusterNetworkPolicy/node-policy")
    assert found["earlier"]["sequence"] == 4
    assert found["decided_by"]["policy"] == "node-policy"


def test_a_past_verdict_has_its_own_event(run: Run, log: str) -> None:
    """As of event 4 nobody had let the partner in."""
    out = run("blame", "--log", log, "--node", "cp-1", "--packet", PARTNER, "--at", "4", "-o", "json")[1]

    found = json.loads(out)
    assert (found["verdict"], found["event"]["sequence"], found["before"], found["earlier"]) == (
        "drop",
        4,
        "accept",
        None,
    )


def test_people_are_told_in_order_of_the_packets(run: Run, log: str) -> None:
    """Each packet with its verdict, the rule, and since when."""
    lines = run("blame", "--log", log, "--node", "cp-1", "--packet", PARTNER, "--packet", SSH)[1].splitlines()

    assert lines[0].startswith("accept  in=eth0 src=203.0.113.7")
    assert lines[1] == "  by policy node-policy, rule ingress-allow-84bd6aa"
    assert lines[2].startswith("  since 5  ")
    assert lines[3].startswith("    from nodewall log append -f ") or lines[3].startswith(
        "    from nodewall log append "
    )
    assert lines[4] == '    + spec.ingress[0].from[1]: {"ipBlock": {"cidr": "203.0.113.0/24"}}'
    assert lines[5].startswith("  before drop by policy node-policy, rule ingress-drop-")
    assert ", since 4  " in lines[5]
    assert lines[6].startswith("drop  in=eth0")


def test_what_no_event_changed_is_said(run: Run, log: str) -> None:
    """A packet out of the node was let out all along."""
    packet = "out=eth0 src=192.168.77.1 dst=203.0.113.7 proto=tcp dport=443"
    out = run("blame", "--log", log, "--node", "cp-1", "--packet", packet)[1]

    assert out.splitlines()[1:] == ["  by no policy", "  no event ever changed that"]


@pytest.mark.parametrize("words", [("--node", "nobody", "--packet", SSH), ("--node", "cp-1")])
def test_faults_are_exit_2(run: Run, log: str, words: Sequence[str]) -> None:
    """A node that never was, and no packet at all."""
    code, out, err = run("blame", "--log", log, *words)
    assert (code, out, len(err)) == (2, "", 1)


def steps(choices: Sequence[bool]) -> Iterator[tuple[str, SubmitMode]]:
    """Yield what manifests to record: the partner comes or goes, as verdicts flip back and forth."""
    for partner in choices:
        yield (CHANGED if partner else POLICY), SubmitMode.DECLARE


@settings(examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.booleans(), max_size=6))
def test_blame_is_right_where_verdicts_flip(
    run: Run, tmp_path_factory: pytest.TempPathFactory, choices: list[bool]
) -> None:
    """The event named is the last one at which the verdict was another before, by a walk of each prefix."""
    path = str(tmp_path_factory.mktemp("blame") / "events.db")
    log, state = wiring.event_log(path), ClusterState()
    for file, mode in ((NODES, SubmitMode.DECLARE), (POLICY, SubmitMode.DECLARE), *steps(choices)):
        bodies = changes_of(state, [file], mode)
        log.append(bodies, source="test", expected=log.last_sequence() if state.sequence else 0)
        state = fold(log.read())
    found = json.loads(run("blame", "--log", path, "--node", "cp-1", "--packet", PARTNER, "-o", "json")[1])

    packet = parse_spec(PARTNER)
    seen = list(moments(HistoryWalk(log, "cp-1").steps(), lambda rules: [Walker(rules).verdict(packet)]))
    flips = [moment for moment in seen if moment.groups[0].before.verdict is not moment.groups[0].after.verdict]
    assert found["verdict"] == seen[-1].groups[0].after.verdict
    assert found["event"]["sequence"] == flips[-1].event.sequence
    assert (found["earlier"] or {}).get("sequence") == (flips[-2].event.sequence if len(flips) > 1 else None)
