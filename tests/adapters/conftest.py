"""The command line, run inside the test's own process."""

from collections.abc import Callable

import pytest

from adapters.cli import main

Run = Callable[..., tuple[int, str, list[str]]]
"""A command line's words to its exit code, its standard output and the lines of its standard error."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line and return its exit code, its standard output and the lines of its standard error."""

    def call(*words: str) -> tuple[int, str, list[str]]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return call
