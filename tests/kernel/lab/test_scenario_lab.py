"""The demo's scenario fares in a real kernel as the simulator says, on both backends."""

import os
import tempfile
from pathlib import Path

import pytest

from adapters.application.scenario_folders import load_scenario
from adapters.application.scenario_lab import kernel_outcomes
from adapters.cli import main
from adapters.cli.commands.install.demo import SCENARIOS
from adapters.netfilter.backend_name import BackendName
from adapters.system.process import namespaces
from scenarios.run import run

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

CASES = ("issue-5671", "issue-5671-changed")


def ours() -> list[str]:
    """Return the namespaces this process made; others on the machine come and go."""
    return [name for name in namespaces() if name.startswith(f"nodewall-{os.getpid()}-")]


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_agrees_with_the_simulator(backend: str, case: str) -> None:
    """Every packet of issue-5671 that can be a real connection fares in the kernel as the simulator says."""
    scenario = load_scenario(SCENARIOS / case)
    results = run(scenario).packets

    outcomes = kernel_outcomes(scenario, [result.answer.packet for result in results], BackendName(backend))

    tried = {result.case.name: outcome for result, outcome in zip(results, outcomes, strict=True) if outcome}
    assert tried == {r.case.name: r.answer.verdict.value for r in results if r.case.name in tried}
    untried = {result.case.name for result in results} - tried.keys()
    assert untried <= {"the answer to a connection the Node opened comes in", "IPv6 neighbours are found"}


def test_a_rehearsal_leaves_nothing_behind(backend: str) -> None:
    """Nothing is left of a rehearsal."""
    before = ours()

    kernel_outcomes(load_scenario(SCENARIOS / CASES[0]), [], BackendName(backend))

    assert ours() == before


def test_the_demo_agrees_and_leaves_nothing_behind(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The demo ends with a table whose columns agree, exits with 0 and leaves no namespace and no file behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = ours()

    code = main(["demo"])

    printed = capsys.readouterr().out
    assert (code, printed.splitlines()[-1]) == (0, "All columns agree."), printed
    assert "kernel did (nft)" in printed
    assert "kernel did (legacy)" in printed
    assert ours() == before
    assert list(tmp_path.iterdir()) == []
