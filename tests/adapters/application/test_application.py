"""Tests of use cases with an in-memory node: each reads its input once, compiles once, and leaves no partial result."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import CodeType, FrameType

import click
import pytest

from adapters import wiring
from adapters.application.apply import Applied, Apply, ApplyOptions
from adapters.application.plan import Planned, plan
from adapters.application.selection import Selection, SelectionOptions
from adapters.application.what_if import what_if
from adapters.netfilter.memory import MemoryBackend
from engine.compiler import assemble, compile_with_limits
from engine.desired.full import desired_ruleset
from engine.errors import KernelRefused, Refused, UnsafePlan
from engine.events import ConfigDeclared, Event, HostObserved
from engine.events.outcomes import ApplyFailed
from engine.objects.config import DEFAULT_CONFIGURATION
from engine.rulesets.diff import RuleInserted, diff
from engine.rulesets.model import Ruleset
from engine.rulesets.plan import Step
from engine.state.admission import SubmitMode
from simulator.packets import parse_spec
from simulator.symbolic import Budget
from tests.support.cli.command_line import Run
from tests.support.kernel.memory_node import MemoryAccess
from tests.support.policies.issue_5671 import CHANGED, CLIENT, NODES, POLICY, STRANGER

NODE = "cp-1"
OPTIONS = ApplyOptions(Budget)
FILES = SelectionOptions(files=(NODES, POLICY), node=NODE)


@contextmanager
def counted_calls(*codes: CodeType) -> Iterator[list[str]]:
    """Yield a list that receives the name of each called function of these, independent of how it was imported."""
    found: list[str] = []

    def seen(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in codes:
            found.append(frame.f_code.co_name)

    sys.setprofile(seen)
    try:
        yield found
    finally:
        sys.setprofile(None)


compilations = partial(counted_calls, assemble.__code__, compile_with_limits.__code__)
"""Counts compilations of rules to a ruleset; every other function that compiles calls one of these two."""


def access(memory: MemoryBackend | None = None) -> MemoryAccess:
    """Return access to an in-memory node with one interface and no DNS server."""
    return MemoryAccess(memory=memory or MemoryBackend(), host=[HostObserved(node=NODE, interfaces=("eth0",))])


def apply(options: SelectionOptions, on: MemoryAccess, how: ApplyOptions = OPTIONS) -> Applied:
    """Apply the selection of these options to a node."""
    return Apply(Selection(options), on, how).run()


def in_log(log: str) -> SelectionOptions:
    """Return options that select the newest state of a log."""
    return SelectionOptions(log=log, node=NODE)


def events(log: str) -> list[Event]:
    """Return all events of a log."""
    return list(wiring.event_log(log).read())


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> SelectionOptions:
    """Return options that select the issue's manifests on standard input, which can be read once."""
    text = "\n---\n".join(Path(path).read_text() for path in (NODES, POLICY))
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return SelectionOptions(files=("-",), node=NODE)


# Input is read and compiled once


@pytest.mark.parametrize("first", ["state", "desired", "rules"])
def test_selection_reads_stdin_once(piped: SelectionOptions, first: str) -> None:
    """Every property uses the same read and compilation, whichever property is used first."""
    selection = Selection(piped)
    with compilations() as compiled:
        getattr(selection, first)
        ruleset, wanted = selection.rules

    assert wanted is selection.desired
    assert ruleset == desired_ruleset(Selection(FILES).state, NODE).ruleset
    assert len(compiled) == 1


def test_simulate_explain_reads_stdin_once(run: Run, piped: SelectionOptions) -> None:
    """Rules and policies come from the same manifests, although standard input can be read only once."""
    words = ("simulate", "--node", NODE, "--explain", "--packet", STRANGER)
    code, out, err = run(*words, "-f", *piped.files)

    assert (code, err) == (0, [])
    assert (code, out) == run(*words, "-f", NODES, "-f", POLICY)[:2]


@pytest.mark.parametrize("more", [("--node", NODE), ("--all-nodes",)])
def test_diff_reads_stdin_once(run: Run, piped: SelectionOptions, more: tuple[str, ...]) -> None:
    """Standard input as both sides of a diff gives the same cluster on both sides."""
    code, out, err = run("diff", "-", "-", *more, "-o", "json")

    assert (code, json.loads(out)["equal"], err) == (0, True, [])
    assert piped.files == ("-",)


def test_apply_compiles_once(piped: SelectionOptions) -> None:
    """An apply from standard input needs one compilation."""
    node = access()
    with compilations() as compiled:
        done = apply(piped, node)

    assert len(compiled) == 1
    assert not diff(node.memory.ruleset, desired_ruleset(Selection(FILES).state, NODE).ruleset)
    assert list(done.seconds) == ["compile", "diff", "verify", "apply"]


@pytest.mark.parametrize("resolvers", [(), ("192.0.2.53",)])
def test_apply_of_a_log_compiles_once(log: str, resolvers: tuple[str, ...]) -> None:
    """An apply needs one compilation even if DNS servers of the host change the rules; they are then recorded."""
    node = access()
    node.host.append(HostObserved(node=NODE, interfaces=("eth0",), resolvers=resolvers))
    with compilations() as compiled:
        apply(in_log(log), node)

    assert len(compiled) == 1
    types = [event.body.type for event in events(log)[5:]]
    assert types == ["apply.proposed", *(["host.observed"] if resolvers else []), "ruleset.applied"]
    assert not diff(node.memory.ruleset, desired_ruleset(Selection(in_log(log)).state, NODE).ruleset)


def test_plan_compiles_once(piped: SelectionOptions) -> None:
    """A plan, its proof and its effect need one compilation, and nothing is written."""
    node, notes = access(), list[str]()
    with compilations() as compiled:
        found = plan(Selection(piped), node, Budget, notes.append)

    assert len(compiled) == 1
    assert found.proposal.plan.changes
    assert found.effect
    assert node.memory.steps == []


def test_what_if_compiles_each_state_once(log: str) -> None:
    """Only the previous state is compiled; the next state, with other set members, is derived from it."""
    selection = Selection(replace(in_log(log), files=(CHANGED,), at="4"))
    with compilations() as compiled:
        found = what_if(selection, SubmitMode.DECLARE, [parse_spec(CLIENT)], Budget)

    assert len(compiled) == 1
    assert [body.type for body, _ in found.events] == ["policy.declared"]
    assert [len(found.ops), len(found.answers)] == [1, 1]


# Apply, from the lock to the recorded outcome


def test_apply_locks_before_it_writes() -> None:
    """An apply observes the host, locks the node, checks for a pending apply, changes the rules, and unlocks."""
    node = access()
    apply(FILES, node, replace(OPTIONS, confirm_timeout=30))

    assert node.done == ["host observed", "locked", "settled", "confirmed within 30", "unlocked"]


def test_second_apply_records_nothing(log: str) -> None:
    """An apply without operations writes nothing to the kernel and appends nothing to the log."""
    node = access()
    first = apply(in_log(log), node)
    recorded, steps = len(events(log)), len(node.memory.steps)
    second = apply(in_log(log), node)

    assert (len(first.plan.changes) > 0, second.plan.changes) == (True, ())
    assert (len(events(log)), len(node.memory.steps)) == (recorded, steps)


def test_unproved_plan_is_not_applied(log: str) -> None:
    """An unproved plan is recorded as failed and nothing is written; with ``force_unsafe`` it is applied."""
    node = access()
    node.verifier.objection = "ssh from 203.0.113.1"
    with pytest.raises(UnsafePlan, match=r"ssh from 203\.0\.113\.1"):
        apply(in_log(log), node)
    failed = events(log)[-1].body

    assert isinstance(failed, ApplyFailed)
    assert node.memory.steps == []
    apply(in_log(log), node, replace(OPTIONS, force_unsafe=True))
    assert not diff(node.memory.ruleset, desired_ruleset(Selection(in_log(log)).state, NODE).ruleset)


def test_refused_rule_fails_alone() -> None:
    """If the kernel refuses the rules of one policy, the result names it, and other rules are still applied."""

    def refuse(step: Step) -> str:
        rules = [change.rule for change in step.changes if isinstance(change, RuleInserted)]
        return "no such match" if any(" node-policy/" in rule.comment for rule in rules) else ""

    node = access(MemoryBackend(refuse=refuse))
    done = apply(FILES, node)

    assert {each.policy for each in done.failed} == {"node-policy"}
    assert node.memory.ruleset != Ruleset()


def test_refusal_without_owner_is_recorded(log: str) -> None:
    """If the kernel refuses every step, the apply fails, and the failure is recorded."""
    node = access(MemoryBackend(refuse=lambda _: "Resource temporarily unavailable"))
    with pytest.raises(KernelRefused):
        apply(in_log(log), node)

    assert [event.body.type for event in events(log)[5:]] == ["apply.proposed", "apply.failed"]
    assert node.memory.ruleset == Ruleset()


def test_declined_plan_is_not_applied() -> None:
    """The question shows the plan and its effect; after a refusal by the user, the node is unchanged."""
    node, asked = access(), list[Planned]()

    def decline(_: str, found: Planned) -> None:
        asked.append(found)
        raise click.Abort

    with pytest.raises(click.Abort):
        apply(FILES, node, replace(OPTIONS, ask=decline))

    assert [bool(each.proposal.plan.changes and each.effect) for each in asked] == [True]
    assert (node.memory.steps, node.done[-1]) == ([], "unlocked")


def test_plan_without_operations_is_not_asked() -> None:
    """A plan without operations is applied without a question."""
    node, asked = access(), list[Planned]()
    for _ in range(2):
        apply(FILES, node, replace(OPTIONS, ask=lambda _, found: asked.append(found)))

    assert len(asked) == 1


def test_past_state_is_not_applied(log: str) -> None:
    """A past state of a log is refused before any access to the node."""
    node = access()
    with pytest.raises(Refused, match="a past state cannot be applied"):
        apply(replace(in_log(log), at="4"), node)

    assert node.done == []


def test_established_connections_are_judged(log: str) -> None:
    """If so configured, connections that the new rules do not admit are deleted."""
    node, config = access(), DEFAULT_CONFIGURATION.model_copy(update={"enforce_established": True})
    wiring.event_log(log).append([ConfigDeclared(config=config)], source="test", expected=len(events(log)))
    apply(in_log(log), node)

    assert node.done[-1] == "connections forgotten"
