"""Scenarios: every one in the repository passes, and a wrong expectation is found."""

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.application.scenario_folders import folders, load_scenario
from engine.rulesets.plan import Tool
from scenarios.run import run

ALL = folders([str(Path(__file__).resolve().parents[2] / "scenarios")])


@pytest.mark.parametrize("folder", ALL, ids=lambda folder: folder.name)
def test_scenario(folder: Path) -> None:
    """The scenario's packets meet the fate, and its rules compile to the text, that are on record."""
    report = run(load_scenario(folder))
    assert report.differences == ()
    assert [result.case.name for result in report.packets if not result.agrees] == []


def test_a_wrong_expectation_is_found() -> None:
    """A packet whose fate is not the expected one makes the scenario fail."""
    scenario = load_scenario(ALL[0])
    first, *rest = scenario.case.packets
    wrong = first.model_copy(update={"expect": first.expect.model_copy(update={"verdict": "reject"})})
    case = scenario.case.model_copy(update={"packets": (wrong, *rest)})
    report = run(replace(scenario, case=case))
    assert not report.passed
    assert [result.agrees for result in report.packets].count(False) == 1


def test_a_missing_record_is_a_difference() -> None:
    """Rules that nobody put on record are shown as added."""
    report = run(replace(load_scenario(ALL[0]), expected={}))
    assert not report.passed
    assert f"+++ compiled/{Tool.IPSET}" in report.differences
