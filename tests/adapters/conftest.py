"""The command line, run inside the test's own process, and the history of the issue as a log."""

from pathlib import Path

import pytest

from adapters.cli import main
from tests.support.cli.command_line import Run
from tests.support.policies.issue_5671 import CHANGED, NODES, POLICY


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line and return its exit code, its standard output and the lines of its standard error."""

    def call(*words: str) -> tuple[int, str, list[str]]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return call


@pytest.fixture
def log(run: Run, tmp_path: Path) -> str:
    """Return a log of the issue's history: nodes and policy, then a partner's network."""
    path = str(tmp_path / "events.db")
    for files in (("-f", NODES, "-f", POLICY), ("-f", CHANGED)):
        assert run("log", "append", "--log", path, *files)[0] == 0
    return path
