"""The same state gives the same answer, byte for byte, whatever was asked before and in whatever process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli.render.changes import change_as_json
from adapters.cli.render.findings import finding_as_json
from engine.compiler import compile_rules
from engine.policy.completed_rules import Action
from engine.rulesets.model import Family, Hook, Ruleset
from simulator.analysis.blame_regions import PacketRegion, blame_packet_set
from simulator.analysis.compare import compare
from simulator.analysis.invariants import InvariantKind, ParsedInvariant
from simulator.analysis.lint import lint
from simulator.analysis.prove import prove
from simulator.analysis.search import SearchMode, SearchQuestion, search
from simulator.expression import parse
from simulator.guard.guard import LockoutGuard
from simulator.netfilter import Verdict
from simulator.symbolic import Budget
from tests.support.rulesets.guarded_rulesets import (
    HOSTS,
    INVARIANTS,
    LIFELINES,
    OWN,
    PEERS,
    RULES,
    SSH,
    judged,
    named,
    with_members,
)
from tests.support.rulesets.random_rulesets import ruleset
from tests.support.rulesets.ruleset_builders import SOAK, completed

WORLDS = 2
ROUNDS = 20 if SOAK else 1
PROCESSES = 8 if SOAK else 2
"""Each with another seed of Python's hashes."""

BROKEN = [
    ParsedInvariant("web", Hook.INPUT, parse("tcp dst port 80"), InvariantKind.ACCEPT),
    ParsedInvariant("udp", Hook.INPUT, parse("udp"), InvariantKind.BLOCK),
]
"""Most plans break them, so that there is a packet to show."""

Worlds = Sequence[Ruleset]


# A guard


@st.composite
def histories(draw: st.DrawFn) -> Worlds:
    """Rulesets that one node has in turn: each has some rules, and some peers, that another one has too."""
    host = HOSTS[draw(st.sampled_from(sorted(HOSTS)))]
    rules = [named(rule, number, draw(PEERS)) for number, rule in enumerate(draw(RULES))]
    found = []
    for _ in range(4):
        kept = [rule for rule in rules if draw(st.integers(0, 3))] or rules[:1]
        made = compile_rules([replace(rule, peers=draw(st.just(rule.peers) | PEERS)) for rule in kept])
        found.append(replace(made, ipv4=(*made.ipv4, *host)))
    return found


@given(histories(), st.sampled_from([[], INVARIANTS, BROKEN]))
def test_a_guard_forgets_its_history(worlds: Worlds, invariants: list[ParsedInvariant]) -> None:
    """One that judged other plans before says of each what a fresh one says, with the same packets and deciders."""
    used = LockoutGuard(LIFELINES, OWN, invariants)
    for before, after in zip(worlds, [*worlds[1:], worlds[0]], strict=True):
        assert judged(used, before, after) == judged(LockoutGuard(LIFELINES, OWN, invariants), before, after)


def test_an_example_has_no_history() -> None:
    """An address that only the plan before told apart from others is not the one that is shown."""
    ban = ("ban", Action.DROP, ("10.1.2.0/24",))
    guard = LockoutGuard([completed("ssh", "10.1.0.0/16", action=Action.ALLOW, services=(SSH,))], OWN)
    first = judged(guard, Ruleset(), with_members(ban)).lost

    judged(guard, Ruleset(), with_members(ban, ("one", Action.ALLOW, ("10.1.2.0/32",))))

    assert judged(guard, Ruleset(), with_members(ban)).lost == first
    assert "src=10.1.2.1 " in first[0]


# Everything that is answered about all packets


def worlds_of(seed: str, family: Family) -> Worlds:
    """Draw rulesets over the whole language, so that some matches depend on more than the packet."""
    return [ruleset(family, f"same {seed} {number}") for number in range(WORLDS)]


def _compared(worlds: Worlds) -> Iterator[object]:
    yield from (change_as_json(change) for change in compare(worlds[0], worlds[1]))


def _searched(worlds: Worlds) -> Iterator[object]:
    for hook in (Hook.INPUT, Hook.FORWARD):
        for verdict in Verdict:
            for mode in SearchMode:
                yield asdict(search(worlds[0], SearchQuestion(hook, parse("ip or ip6"), verdict, mode)))


def _proved(worlds: Worlds) -> Iterator[object]:
    yield from ((each, each.witness and each.witness.words) for each in prove(worlds[0], BROKEN))


def _linted(worlds: Worlds) -> Iterator[object]:
    yield from (finding_as_json(finding) for finding in lint(worlds[0]))


def _blamed(worlds: Worlds) -> Iterator[object]:
    found, rests = blame_packet_set(
        list(enumerate(worlds, 1)), PacketRegion("node", Hook.INPUT, parse("")), 9, Budget()
    )
    yield from ([change_as_json(change) for change in shift.changes] for shift in found)
    yield from rests


def _guarded(worlds: Worlds) -> Iterator[object]:
    yield judged(LockoutGuard(LIFELINES, OWN, BROKEN), worlds[0], worlds[1])


ANSWERS: dict[str, Callable[[Worlds], Iterator[object]]] = {
    "compare": _compared,
    "search": _searched,
    "prove": _proved,
    "lint": _linted,
    "blame": _blamed,
    "guard": _guarded,
}


def answers(worlds: Worlds) -> dict[str, str]:
    """Return as text all that is answered about some worlds."""
    return {kind: "\n".join(map(repr, answered(worlds))) for kind, answered in ANSWERS.items()}


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_no_answer_has_a_history(number: int, family: Family) -> None:
    """Other questions in between, about the same and about other rulesets, change no byte of an answer."""
    before = answers(worlds_of(f"history {number}", family))
    answers(worlds_of(f"between {number}", family))
    answers(worlds_of(f"history {number}", family)[::-1])

    assert answers(worlds_of(f"history {number}", family)) == before


def main() -> None:
    """Print every kind of answer: what a process of its own says."""
    for family in Family:
        for number in range(ROUNDS):
            for kind, text in answers(worlds_of(f"process {number}", family)).items():
                sys.stdout.write(f"{kind}\n{text}\n")


def test_processes_answer_alike() -> None:
    """Neither the order of sets nor where objects lie in memory shows in an answer."""
    command = [sys.executable, "-m", "tests.simulator.analysis.test_same_answer"]
    running = [
        subprocess.Popen(command, env={**os.environ, "PYTHONHASHSEED": str(number)}, stdout=subprocess.PIPE, text=True)
        for number in range(1, PROCESSES + 1)
    ]
    first, *others = (process.communicate()[0] for process in running)

    assert not any(process.returncode for process in running)
    assert len(first.splitlines()) > len(Family) * len(ANSWERS)
    assert all(other == first for other in others)


if __name__ == "__main__":
    main()
