"""Runs the shell commands and the Python code that README.md and docs/ show, and decides when a skip is a failure.

Every ``bash`` block is one example. The blocks of a file are fed, in order, to one ``bash -euo pipefail`` in a new
directory with ``scenarios`` in it, as a reader pastes them into one terminal; so they share files, variables and traps.
A block after ``<!-- root -->`` needs root; one after ``<!-- cluster -->`` needs a cluster too, and is run by the tests
that have one. A ``text`` block after ``<!-- output -->`` is what the block before it must
print, where ``…`` stands for anything in a line, alone in one for any lines; times, ids and hashes may differ, and
neither empty lines nor the width of blanks count. The ``python`` blocks of a file share one namespace and the directory
of its ``bash`` blocks. Blocks of other languages are not run.
"""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sybil import Document, Example, Region, Sybil

ROOT = Path(__file__).parent
TIMEOUT = 120
"""Seconds until a block that does not end is stopped."""

_MARK = re.compile(r"^<!-- \w+ -->$", re.MULTILINE)
_BLOCK = re.compile(
    r"^(?:(?P<root><!-- root -->\n+)|(?P<cluster><!-- cluster -->\n+))?"
    r"^```(?P<language>bash|python)\n(?P<commands>.*?)^```\n"
    r"(?:\n*^(?P<mark><!-- output -->)\n+^```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
)
"""What differs from run to run, and what stands for it in comparisons."""


@dataclass(frozen=True)
class Block:
    """The commands of a block, their language, whether they need root, and what they must print, if that is said."""

    commands: str
    language: str
    root: bool
    output: str | None


class Terminal:
    """One shell in a directory of its own; a command that fails ends it, as its traps then run."""

    def __init__(self) -> None:
        self._directory = TemporaryDirectory(prefix="nodewall-docs-")
        self.folder = folder = Path(self._directory.name)
        (folder / "scenarios").symlink_to(ROOT / "scenarios")
        here = str(Path(sys.executable).parent)
        environment = {name: text for name, text in os.environ.items() if not name.startswith("NODEWALL_")}
        environment["PATH"] = os.pathsep.join((here, environment.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
        self._shell = subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        self._script = folder / ".block"

    def run(self, commands: str) -> tuple[bool, str]:
        """Return whether all commands succeeded, and what they printed on either stream."""
        if self._shell.poll() is not None or self._shell.stdin is None or self._shell.stdout is None:
            return False, "not run: a block above failed\n"
        self._script.write_text(commands, encoding="utf-8")
        end = f"end-of-block-{os.getpid()}"
        watchdog = threading.Timer(TIMEOUT, self.stop)
        watchdog.start()
        try:
            # A file of its own keeps the commands away from the shell's input, and the shell's input from them.
            self._shell.stdin.write(f". ./.block </dev/null\necho {end}\n")
            self._shell.stdin.flush()
            printed = ""
            for line in self._shell.stdout:
                if line == f"{end}\n":
                    return True, printed
                printed += line
        finally:
            watchdog.cancel()
        self._shell.wait()
        return False, printed

    def run_python(self, code: str, namespace: dict[str, Any]) -> tuple[bool, str]:
        """Execute Python code in the directory; return whether it raised nothing, and what it printed."""
        printed = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            try:
                exec(compile(code, "block", "exec"), namespace)  # noqa: S102 - the project's own documents
            except Exception:  # noqa: BLE001 - whatever it raises is what a reader would see
                return False, printed.getvalue() + traceback.format_exc()
        return True, printed.getvalue()

    def stop(self) -> None:
        """End whatever runs; the shell's traps still do."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGTERM)

    def close(self) -> None:
        """Leave the shell, as a reader does by ``exit``, and remove the directory."""
        self._shell.communicate()
        self._directory.cleanup()


def blocks(document: Document) -> Iterator[Region]:
    """Yield the blocks of a document that are run; a mark that belongs to none is an error, as it would do nothing."""
    marks = 0
    for found in _BLOCK.finditer(document.text):
        marks += sum(found[name] is not None for name in ("root", "cluster", "mark"))
        if found["cluster"] is not None:
            continue
        block = Block(found["commands"], found["language"], found["root"] is not None, found["output"])
        yield Region(found.start("commands"), found.end("commands"), block, evaluate)
    if marks != len(_MARK.findall(document.text)):
        raise ValueError(f"{document.path}: a mark stands before no block that it could mark")


def evaluate(example: Example) -> str | None:
    """Run a block; return what is wrong, or None."""
    block: Block = example.parsed
    if block.root and os.geteuid() != 0:
        pytest.skip("not root: this block makes network namespaces")
    terminal: Terminal = example.namespace["terminal"]
    if block.language == "python":
        succeeded, printed = terminal.run_python(block.commands, example.namespace["python"])
    else:
        succeeded, printed = terminal.run(block.commands)
    if not succeeded:
        return f"these commands failed:\n{block.commands}\nthey printed:\n{printed}"
    if block.output is not None and not _alike(block.output, printed):
        return f"expected:\n{block.output}\nprinted:\n{printed}"
    return None


def _alike(expected: str, printed: str) -> bool:
    lines = "".join(_pattern(line) for line in _steady(expected).splitlines())
    return re.fullmatch(lines, _steady(printed)) is not None


def _pattern(line: str) -> str:
    anything = ".*".join(re.escape(part) for part in line.split("…"))
    return r"(?:.*\n)*" if line == "…" else rf"{anything}\n"


def _steady(text: str) -> str:
    for varying, name in _VARYING:
        text = varying.sub(name, text)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return "".join(f"{line}\n" for line in lines if line)


def _open(namespace: dict[str, Any]) -> None:
    namespace["terminal"] = Terminal()
    namespace["python"] = {"__name__": "__main__"}


def _close(namespace: dict[str, Any]) -> None:
    namespace.pop("terminal").close()


pytest_collect_file = Sybil(
    parsers=[blocks], patterns=["README.md", "docs/*/*.md"], setup=_open, teardown=_close
).pytest()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where everything the tests need is said to be there."""
    report = yield
    if os.environ.get("NODEWALL_REQUIRE_KERNEL") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, but NODEWALL_REQUIRE_KERNEL=1 allows no skip: {reason}"
    return report
