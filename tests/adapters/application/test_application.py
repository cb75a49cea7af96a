"""Use cases on a node in memory: each loads its selection once, compiles once, and leaves no partial result."""

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
    """Yield a list that grows with each call of the functions, however they were imported."""
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
"""Counts whatever makes a ruleset of rules; all other functions that compile call one of these."""


def access(memory: MemoryBackend | None = None) -> MemoryAccess:
    """A node in memory with one interface and no DNS server."""
    return MemoryAccess(memory=memory or MemoryBackend(), host=[HostObserved(node=NODE, interfaces=("eth0",))])


def apply(options: SelectionOptions, on: MemoryAccess, how: ApplyOptions = OPTIONS) -> Applied:
    """Apply what options select."""
    return Apply(Selection(options), on, how).run()


def in_log(log: str) -> SelectionOptions:
    """The newest state of a log."""
    return SelectionOptions(log=log, node=NODE)


def events(log: str) -> list[Event]:
    """All events of a log."""
    return list(wiring.event_log(log).read())


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> SelectionOptions:
    """Return options that select the issue's manifests on standard input, which can be read once."""
    text = "\n---\n".join(Path(path).read_text() for path in (NODES, POLICY))
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return SelectionOptions(files=("-",), node=NODE)


# Once


@pytest.mark.parametrize("first", ["state", "desired", "rules"])
def test_selection_reads_stdin_once(piped: SelectionOptions, first: str) -> None:
    """Whatever is asked first, all answers come from one reading and one compilation."""
    selection = Selection(piped)
    with compilations() as compiled:
        getattr(selection, first)
        ruleset, wanted = selection.rules

    assert wanted is selection.desired
    assert ruleset == desired_ruleset(Selection(FILES).state, NODE).ruleset
    assert len(compiled) == 1


def test_simulate_explain_reads_stdin_once(run: Run, piped: SelectionOptions) -> None:
    """Rules and policies are asked about the same manifests, though standard input ends after the first reading."""
    words = ("simulate", "--node", NODE, "--explain", "--packet", STRANGER)
    code, out, err = run(*words, "-f", *piped.files)

    assert (code, err) == (0, [])
    assert (code, out) == run(*words, "-f", NODES, "-f", POLICY)[:2]


@pytest.mark.parametrize("more", [("--node", NODE), ("--all-nodes",)])
def test_diff_reads_stdin_once(run: Run, piped: SelectionOptions, more: tuple[str, ...]) -> None:
    """Standard input on both sides is the same cluster on both sides."""
    code, out, err = run("diff", "-", "-", *more, "-o", "json")

    assert (code, json.loads(out)["equal"], err) == (0, True, [])
    assert piped.files == ("-",)


def test_apply_compiles_once(piped: SelectionOptions) -> None:
    """From standard input to the kernel it takes one compilation."""
    node = access()
    with compilations() as compiled:
        done = apply(piped, node)

    assert len(compiled) == 1
    assert not diff(node.memory.ruleset, desired_ruleset(Selection(FILES).state, NODE).ruleset)
    assert list(done.seconds) == ["compile", "diff", "verify", "apply"]


@pytest.mark.parametrize("resolvers", [(), ("192.0.2.53",)])
def test_apply_of_a_log_compiles_once(log: str, resolvers: tuple[str, ...]) -> None:
    """Also where the host's DNS servers change the rules, which then are recorded."""
    node = access()
    node.host.append(HostObserved(node=NODE, interfaces=("eth0",), resolvers=resolvers))
    with compilations() as compiled:
        apply(in_log(log), node)

    assert len(compiled) == 1
    types = [event.body.type for event in events(log)[5:]]
    assert types == ["apply.proposed", *(["host.observed"] if resolvers else []), "ruleset.applied"]
    assert not diff(node.memory.ruleset, desired_ruleset(Selection(in_log(log)).state, NODE).ruleset)


def test_plan_compiles_once(piped: SelectionOptions) -> None:
    """A plan is compiled, proved and compared from one compilation, and writes nothing."""
    node, notes = access(), list[str]()
    with compilations() as compiled:
        found = plan(Selection(piped), node, Budget, notes.append)

    assert len(compiled) == 1
    assert found.proposal.plan.changes
    assert found.effect
    assert node.memory.steps == []


def test_what_if_compiles_each_state_once(log: str) -> None:
    """The state before is compiled; the state after, in which members of a set differ, is derived from it."""
    selection = Selection(replace(in_log(log), files=(CHANGED,), at="4"))
    with compilations() as compiled:
        found = what_if(selection, SubmitMode.DECLARE, [parse_spec(CLIENT)], Budget)

    assert len(compiled) == 1
    assert [body.type for body, _ in found.events] == ["policy.declared"]
    assert [len(found.ops), len(found.answers)] == [1, 1]


# Apply, from lock to record


def test_apply_locks_before_it_writes() -> None:
    """The host is observed, then the node is locked, settled and changed, and unlocked at the end."""
    node = access()
    apply(FILES, node, replace(OPTIONS, confirm_timeout=30))

    assert node.done == ["host observed", "locked", "settled", "confirmed within 30", "unlocked"]


def test_second_apply_records_nothing(log: str) -> None:
    """An apply with nothing to do writes nothing and appends nothing."""
    node = access()
    first = apply(in_log(log), node)
    recorded, steps = len(events(log)), len(node.memory.steps)
    second = apply(in_log(log), node)

    assert (len(first.plan.changes) > 0, second.plan.changes) == (True, ())
    assert (len(events(log)), len(node.memory.steps)) == (recorded, steps)


def test_unproved_plan_is_not_applied(log: str) -> None:
    """It is recorded as failed, nothing is written, and the node is unlocked; forced, it is applied."""
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
    """The kernel's refusal of one policy's rules leaves the privileged rules enforced, and is reported."""

    def refuse(step: Step) -> str:
        rules = [change.rule for change in step.changes if isinstance(change, RuleInserted)]
        return "no such match" if any(" node-policy/" in rule.comment for rule in rules) else ""

    node = access(MemoryBackend(refuse=refuse))
    done = apply(FILES, node)

    assert {each.policy for each in done.failed} == {"node-policy"}
    assert node.memory.ruleset != Ruleset()


def test_refusal_without_owner_is_recorded(log: str) -> None:
    """Where nothing can be written at all the apply fails, which is recorded."""
    node = access(MemoryBackend(refuse=lambda _: "Resource temporarily unavailable"))
    with pytest.raises(KernelRefused):
        apply(in_log(log), node)

    assert [event.body.type for event in events(log)[5:]] == ["apply.proposed", "apply.failed"]
    assert node.memory.ruleset == Ruleset()


def test_declined_plan_is_not_applied() -> None:
    """The question comes with the plan; whoever declines leaves the node as it was."""
    node, asked = access(), list[Planned]()

    def decline(_: str, found: Planned) -> None:
        asked.append(found)
        raise click.Abort

    with pytest.raises(click.Abort):
        apply(FILES, node, replace(OPTIONS, ask=decline))

    assert [bool(each.proposal.plan.changes and each.effect) for each in asked] == [True]
    assert (node.memory.steps, node.done[-1]) == ([], "unlocked")


def test_plan_without_operations_is_not_asked() -> None:
    """Where nothing is to be done there is no question."""
    node, asked = access(), list[Planned]()
    for _ in range(2):
        apply(FILES, node, replace(OPTIONS, ask=lambda _, found: asked.append(found)))

    assert len(asked) == 1


def test_past_state_is_not_applied(log: str) -> None:
    """A past state of a log is refused before the node is touched."""
    node = access()
    with pytest.raises(Refused, match="a past state cannot be applied"):
        apply(replace(in_log(log), at="4"), node)

    assert node.done == []


def test_established_connections_are_judged(log: str) -> None:
    """Where the configuration says so, connections that the new rules do not admit are forgotten."""
    node, config = access(), DEFAULT_CONFIGURATION.model_copy(update={"enforce_established": True})
    wiring.event_log(log).append([ConfigDeclared(config=config)], source="test", expected=len(events(log)))
    apply(in_log(log), node)

    assert node.done[-1] == "connections forgotten"
