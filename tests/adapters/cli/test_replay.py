"""``nodewall replay``: from any point to any other, with packets or a capture, and compared with what was done."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import wiring
from adapters.application.past.steps import HistoryWalk
from adapters.cli.history.moments import moments
from adapters.eventlog.snapshots import Snapshots
from engine.compiler import compile_rules
from engine.desired.full import desired_ruleset
from engine.events import EventBody
from engine.events.outcomes import ApplyProposed, FailedRule, RulesetApplied
from engine.policy.completed_rules import Plane
from engine.policy.resolve import sort_rules
from engine.rulesets.digest import ruleset_digest
from engine.state.fold import ClusterState
from simulator.packets import parse_spec, pcap_writer
from tests.support.cli.command_line import Run
from tests.support.eventlog.event_logs import log_of
from tests.support.policies.issue_5671 import CLIENT, STRANGER
from tests.support.policies.random_clusters import NODE
from tests.support.policies.random_histories import history_of, worlds_of
from tests.support.seeds import examples


@examples(20)
@given(st.integers(0, 10**9), st.data())
def test_a_part_of_history_is_told_as_in_the_whole(seed: int, data: st.DataObject) -> None:
    """Whichever state is kept, each event of a part changes what it does when all is walked from the start."""
    history = history_of(worlds_of(str(seed), 2), str(seed))
    first = data.draw(st.integers(1, len(history)))
    last = data.draw(st.integers(first, len(history)))
    with TemporaryDirectory() as folder:
        log = log_of(folder, history)
        whole = [moment.as_json() for moment in moments(HistoryWalk(log, NODE).steps(), lambda _: [])]
        Snapshots(log, interval=7).reached()
        part = [moment.as_json() for moment in moments(HistoryWalk(log, NODE, first, last).steps(), lambda _: [])]
    assert part == whole[first - 1 : last]


def test_a_part_begins_and_ends_where_it_is_told_to(run: Run, log: str) -> None:
    """By sequence or by time, and events that change nothing can be left out."""
    recorded(log, applied(log, 5))
    words = ("replay", "--log", log, "--node", "cp-1", "-o", "json")
    sequences = [json.loads(line)["sequence"] for line in run(*words, "--from", "3", "--to", "4")[1].splitlines()]
    changed = [json.loads(line) for line in run(*words, "--changes")[1].splitlines()]

    assert sequences == [3, 4]
    assert [event["sequence"] for event in changed] == [1, 2, 3, 4, 5]
    assert run(*words, "--from", "2100-01-01T00:00:00Z")[:2] == (0, "")
    assert len(run(*words, "--from", "2000-01-01T00:00:00Z")[1].splitlines()) == 6


def test_a_capture_is_followed_as_a_whole(run: Run, log: str, tmp_path: Path) -> None:
    """Per event how many packets fare otherwise, with the first of them; connections follow the capture."""
    capture = tmp_path / "some.pcap"
    with pcap_writer(capture) as write:
        for spec in (CLIENT, STRANGER, STRANGER.replace("203.0.113.7", "203.0.113.8"), STRANGER.replace("6443", "22")):
            write(parse_spec(spec))
    words = (
        "replay",
        "--log",
        log,
        "--node",
        "cp-1",
        "--pcap",
        str(capture),
        "--in",
        "eth0",
        "--changes",
        "-o",
        "json",
    )

    code, out, err = run(*words)
    assert (code, err) == (0, [])
    events = {event["sequence"]: event["verdicts"] for event in map(json.loads, out.splitlines())}
    assert [(each["from"], each["to"], each["packets"]) for each in events[4]] == [("accept", "drop", 3)]
    assert [(each["from"], each["to"], each["packets"]) for each in events[5]] == [("drop", "accept", 2)]
    assert events[5][0]["packet"]["src"] == "203.0.113.7"
    assert run(*words, "--stateless")[1] == out


def recorded(log: str, *bodies: EventBody) -> None:
    """Put what was done on record."""
    events = wiring.event_log(log)
    events.append(bodies, source="test", expected=events.last_sequence())


def state_of(log: str, until: int) -> ClusterState:
    """The state of a log after a sequence."""
    return Snapshots(wiring.event_log(log)).reached(until)[0]


def applied(
    log: str, sequence: int, *, failed: tuple[FailedRule, ...] | None = None, other: str = ""
) -> RulesetApplied:
    """What would be on record if a state had been brought into force, but for rules that failed."""
    wanted = desired_ruleset(state_of(log, sequence), "cp-1")
    names = {(each.policy, each.rule) for each in failed or ()}
    rules = [rule for rule in wanted.rules if rule.plane is Plane.NODES and (rule.policy, rule.name) not in names]
    ruleset = ruleset_digest(compile_rules(sort_rules(rules), wanted.options))
    return RulesetApplied(node="cp-1", realized=sequence, ruleset=other or ruleset, operations=1, failed=failed)


def test_what_was_in_force_is_compared_with_what_would_be_now(run: Run, log: str) -> None:
    """Each outcome of the node, also of a state long before it, and with rules that failed; others' are not asked."""
    good = ruleset_digest(desired_ruleset(state_of(log, 5), "cp-1").ruleset)
    rule = next(rule for rule in desired_ruleset(state_of(log, 5), "cp-1").rules if rule.policy == "node-policy")
    failed = (FailedRule(policy=rule.policy, rule=rule.name, words="no"),)
    proposed = ApplyProposed(node="cp-1", wanted=5, ruleset=good, operations=1, method="in-place")
    recorded(log, proposed, applied(log, 5), applied(log, 4), applied(log, 5, failed=failed))
    recorded(log, RulesetApplied(node="worker-1", realized=5, ruleset="0", operations=1))

    code, out, err = run("replay", "--log", log, "--node", "cp-1", "--check", "-o", "json")
    found = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, ["4 outcomes compared, 0 differences"])
    assert [(each["sequence"], each["wanted"], each["same"]) for each in found] == [
        (6, 5, True),
        (7, 5, True),
        (8, 4, True),
        (9, 5, True),
    ]
    assert run("replay", "--log", log, "--node", "cp-1", "--check", "--from", "8", "-o", "json")[1].count("\n") == 2


def test_a_difference_is_told_with_both_hashes(run: Run, log: str) -> None:
    """Exit 1, and both are there for whoever looks into it."""
    recorded(log, applied(log, 5, other="f" * 64), RulesetApplied(node="cp-1", realized=0, ruleset="0", operations=1))
    code, out, err = run("replay", "--log", log, "--node", "cp-1", "--check")
    lines = out.splitlines()
    assert (code, err) == (1, ["2 outcomes compared, 2 differences"])
    assert lines[1] == f"    recorded {'f' * 64}"
    assert lines[2].startswith("    compiled ")
    assert lines[2].endswith(", from state 5")
    assert lines[4] == "    the node is not in that state"


def test_a_configuration_that_a_node_had_for_itself_can_be_given(run: Run, log: str, tmp_path: Path) -> None:
    """What was applied with ``-c FILE`` is the same only with it."""
    config = tmp_path / "nodewall.yaml"
    config.write_text("allowAction: Return\n")
    compiled = run("compile", "--log", log, "--node", "cp-1", "-c", str(config), "-o", "json")
    assert compiled[0] == 0
    state = state_of(log, 5)
    own = state.config.model_copy(update={"allow_action": "Return"})
    ruleset = ruleset_digest(desired_ruleset(replace(state, config=own), "cp-1").ruleset)
    recorded(log, applied(log, 5, other=ruleset))

    words = ("replay", "--log", log, "--node", "cp-1", "--check")
    assert run(*words)[0] == 1
    assert run(*words, "-c", str(config))[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--check", "--packet", CLIENT),
        ("--check", "--changes"),
        ("--packet", CLIENT, "--pcap", "x.pcap"),
        ("--from", "yesterday"),
        ("-c", "nodewall.yaml"),
    ],
)
def test_faults_are_exit_2(run: Run, log: str, words: tuple[str, ...]) -> None:
    """Options that contradict each other, and moments that are none."""
    code, out, err = run("replay", "--log", log, "--node", "cp-1", *words)
    assert (code, out, len(err)) == (2, "", 1)
