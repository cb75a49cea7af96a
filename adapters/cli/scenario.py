"""``scenario``: runs what-if cases and compares them with what is on record."""

from functools import partial

import click

from adapters.cli.output import emit, output_option, table
from adapters.scenariofiles import folders, load_scenario, write_expected
from scenarios.run import Report, run


@click.group("scenario")
def scenario_command() -> None:
    """Run what-if cases."""


@scenario_command.command("run")
@click.argument("paths", nargs=-1, required=True, metavar="DIR...")
@click.option("--update", is_flag=True, help="Put the compiled rules on record as what is expected.")
@output_option
def run_scenarios(paths: tuple[str, ...], update: bool, output: str) -> int:
    """Run scenario folders, or folders of such; exit 1 where anything differs."""
    passed = True
    for folder in folders(paths):
        report = run(load_scenario(folder))
        if update:
            write_expected(folder, report.texts)
            report = run(load_scenario(folder))
        passed &= report.passed
        emit(output, report.as_json(), partial(_as_text, report))
    return 0 if passed else 1


def _as_text(report: Report) -> str:
    rows = [
        (result.case.name, result.case.expect.verdict, result.found.verdict, "yes" if result.agrees else "NO")
        for result in report.packets
    ]
    head = f"{report.name}: {'passed' if report.passed else 'FAILED'}"
    return "\n".join([head, table(("packet", "expected", "simulator says", "agrees"), rows), *report.differences])
