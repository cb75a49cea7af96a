"""``nodewall scenario``: runs test cases, and compares the results with their expectations.

Input: scenario folders, each with manifests, packets, and the expected verdicts and rules. Output: a
:class:`ScenarioReport` per folder; the exit code is 1 for any difference. With ``--kernel``, also sends the packets
through real kernels in scratch network namespaces.

Raises ``Refused`` for a bad scenario file.
"""

import sys
from functools import partial

import click

from adapters.application.scenario_folders import folders, load_scenario, write_expected
from adapters.application.scenario_lab import kernel_outcomes
from adapters.cli.render.agreement import Kernels, all_agree, packet_table
from adapters.cli.render.output import emit, output_option
from adapters.netfilter.backend_name import BackendName
from adapters.system.usernamespace import in_user_namespace
from scenarios.run import ScenarioReport, run


@click.group("scenario")
def scenario_command() -> None:
    """Run what-if cases."""


@scenario_command.command("run")
@click.argument("paths", nargs=-1, required=True, metavar="DIR...")
@click.option(
    "--kernel",
    "backends",
    type=click.Choice([BackendName.NFT.value, BackendName.LEGACY.value]),
    multiple=True,
    help="Also make real connections in a scratch network with this backend of iptables; repeatable.",
)
@click.option("--update", is_flag=True, help="Put the compiled rules on record as what is expected.")
@output_option
def run_command(paths: tuple[str, ...], backends: tuple[str, ...], update: bool, output: str) -> int:
    """Run scenario folders, or folders of such; exit 1 where anything differs."""
    if backends:
        in_user_namespace("adapters.cli", *sys.argv[1:])
    passed = True
    for folder in folders(paths):
        scenario = load_scenario(folder)
        report = run(scenario)
        if update:
            write_expected(folder, report.texts)
            report = run(load_scenario(folder))
        packets = [result.answer.packet for result in report.packets]
        kernels = {backend: kernel_outcomes(scenario, packets, BackendName(backend)) for backend in backends}
        passed &= _passed(report, kernels)
        emit(output, _as_json(report, kernels), partial(_as_text, report, kernels))
    return 0 if passed else 1


def _passed(report: ScenarioReport, kernels: Kernels) -> bool:
    """Return True if the report has no difference and every tried kernel gave the expected verdicts."""
    return report.passed and all_agree(report.packets, kernels)


def _as_json(report: ScenarioReport, kernels: Kernels) -> dict[str, object]:
    packets = [
        {
            "name": result.case.name,
            "agrees": result.agrees,
            "expected": result.case.expect.model_dump(exclude_none=True),
            "found": result.found.model_dump(exclude_none=True),
        }
        for result in report.packets
    ]
    found = {backend: [outcome and outcome.value for outcome in outcomes] for backend, outcomes in kernels.items()}
    return {
        "scenario": report.name,
        "passed": _passed(report, kernels),
        "packets": packets,
        "differences": list(report.differences),
        **({"kernel": found} if found else {}),
    }


def _as_text(report: ScenarioReport, kernels: Kernels) -> str:
    head = f"{report.name}: {'passed' if _passed(report, kernels) else 'FAILED'}"
    return "\n".join([head, packet_table(report.packets, kernels), *report.differences])
