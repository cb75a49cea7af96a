"""Runs a scenario: compiles its ruleset, simulates its packets, and compares both with the expectations.

Input: a `Scenario` (a loaded scenario folder). Output: a `ScenarioReport` with the result of each packet and the
differences of the compiled texts. Raises `Refused` for an unknown node or a packet that does not parse.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff

from engine.desired.full import desired_ruleset
from engine.rulesets.plan import Tool
from engine.rulesets.text.steps import full_text
from scenarios.case import Expectation, PacketCase, Scenario
from simulator.netfilter import Evaluation, Walker
from simulator.packets import parse_spec


@dataclass(frozen=True, slots=True)
class PacketResult:
    """One packet of a scenario with the simulator's evaluation."""

    case: PacketCase
    answer: Evaluation

    @property
    def found(self) -> Expectation:
        """Result of the packet, in as much detail as the expectation."""
        by, expect = self.answer.decided_by, self.case.expect
        return Expectation(
            verdict=self.answer.verdict.value,
            policy=by.policy if by and expect.policy is not None else None,
            rule=by.policy_rule if by and expect.rule is not None else None,
            logged=bool(self.answer.logged_by) if expect.logged is not None else None,
        )

    @property
    def agrees(self) -> bool:
        """True if the result equals the expectation."""
        return self.found == self.case.expect


@dataclass(frozen=True, slots=True)
class ScenarioReport:
    """Result of a scenario: ``texts`` are the compiled texts, ``differences`` their diff to the expected ones."""

    name: str
    packets: tuple[PacketResult, ...]
    texts: Mapping[Tool, str]
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if all results and texts equal the expectations."""
        return not self.differences and all(result.agrees for result in self.packets)


def run(scenario: Scenario) -> ScenarioReport:
    """Run a scenario.

    Raises:
        Refused: the node does not exist, or a packet does not parse.
    """
    wanted = desired_ruleset(scenario.state, scenario.case.node).ruleset
    walker = Walker(wanted)
    packets = tuple(
        PacketResult(case, walker.verdict(parse_spec(case.packet, number)))
        for number, case in enumerate(scenario.case.packets, 1)
    )
    texts = full_text(wanted)
    differences = (*scenario.unrefused, *_differences(scenario.expected, texts))
    return ScenarioReport(scenario.name, packets, texts, differences)


def _differences(expected: Mapping[Tool, str], found: Mapping[Tool, str]) -> tuple[str, ...]:
    lines: list[str] = []
    for tool in Tool:
        before, after = expected.get(tool, "").splitlines(), found[tool].splitlines()
        lines += unified_diff(before, after, f"expected/{tool}", f"compiled/{tool}", lineterm="", n=0)
    return tuple(lines)
