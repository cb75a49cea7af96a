"""Every scenario in the repository runs in the kernel: each of its packets meets the fate that is expected."""

from pathlib import Path

import pytest

from adapters.application.scenario_folders import folders, load_scenario
from adapters.application.scenario_lab import kernel_outcomes
from adapters.netfilter.backend_name import BackendName
from scenarios.run import run

pytestmark = pytest.mark.kernel

ALL = folders([str(Path(__file__).parents[3] / "scenarios")])


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("folder", ALL, ids=lambda folder: folder.name)
def test_the_kernel_does_what_a_scenario_expects(folder: Path, backend: str) -> None:
    """Every packet of the scenario is tried in the kernel, and none fares otherwise than expected."""
    scenario = load_scenario(folder)
    results = run(scenario).packets

    outcomes = kernel_outcomes(scenario, [result.answer.packet for result in results], BackendName(backend))

    differing = [
        (result.case.name, result.case.expect.verdict, outcome)
        for result, outcome in zip(results, outcomes, strict=True)
        if outcome is None or outcome.value != result.case.expect.verdict
    ]
    assert differing == []


def test_there_are_enough_scenarios() -> None:
    """There are at least 25 scenarios."""
    assert len(ALL) >= 25
