"""Runs a scenario: compiles its world, simulates its packets, and says where either differs from what is expected."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff

from engine.desired.full import desired
from engine.rulesets.plan import Tool
from engine.rulesets.text.steps import full_text
from scenarios.case import Expectation, PacketCase, Scenario
from simulator.netfilter import Evaluation, Walker
from simulator.packets import parse_spec


@dataclass(frozen=True, slots=True)
class PacketResult:
    """One packet of a case and what the simulator says of it."""

    case: PacketCase
    answer: Evaluation

    @property
    def found(self) -> Expectation:
        """What became of the packet, in as much detail as was expected."""
        by, expect = self.answer.decided_by, self.case.expect
        return Expectation(
            verdict=self.answer.verdict.value,
            policy=by.policy if by and expect.policy is not None else None,
            rule=by.policy_rule if by and expect.rule is not None else None,
            logged=bool(self.answer.logged_by) if expect.logged is not None else None,
        )

    @property
    def agrees(self) -> bool:
        """Whether it is what was expected."""
        return self.found == self.case.expect


@dataclass(frozen=True, slots=True)
class ScenarioReport:
    """What came of a scenario: ``texts`` is what was compiled, ``differences`` how that differs from the record."""

    name: str
    packets: tuple[PacketResult, ...]
    texts: Mapping[Tool, str]
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all was as expected."""
        return not self.differences and all(result.agrees for result in self.packets)


def run(scenario: Scenario) -> ScenarioReport:
    """Return the report of a scenario.

    Raises:
        Refused: the node is not in its world, or a packet does not parse.
    """
    wanted = desired(scenario.state, scenario.case.node).ruleset
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
