"""Inputs that never end: FIFOs that nobody writes to, and devices that give zeros."""

import os
from pathlib import Path

import pytest

from adapters.application import selection
from tests.support.cli.command_line import Run
from tests.support.policies.issue_5671 import NODES

PACKET = "in=eth0 src=192.0.2.1 dst=192.0.2.2 proto=tcp dport=22"


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    """A FIFO without a writer, in a directory of its own."""
    path = tmp_path / "inputs" / "a.yaml"
    path.parent.mkdir()
    os.mkfifo(path)
    return str(path)


@pytest.mark.parametrize("words", [("log", "show"), ("log", "verify"), ("log", "append", "-f", NODES)])
@pytest.mark.parametrize("device", ["fifo", "/dev/zero", "/dev/null"])
def test_log_must_be_regular_file(run: Run, fifo: str, device: str, words: tuple[str, ...]) -> None:
    """SQLite would wait for a FIFO and write to a device."""
    path = fifo if device == "fifo" else device
    code, out, err = run(*words, "--log", path)
    assert (code, out) == (2, "")
    assert err == [f"error: {path}: not a regular file"]


def test_fifo_in_directory_is_refused(run: Run, fifo: str, tmp_path: Path) -> None:
    """Whoever names a directory does not mean its FIFOs."""
    code, _, err = run("log", "append", "--log", str(tmp_path / "log"), "-f", str(Path(fifo).parent))
    assert code == 2
    assert err[0] == f"error: {fifo}: not a regular file; expected a file, or a link to one"


@pytest.mark.parametrize("option", ["--ipv4", "--ipv6", "--ipset"])
def test_endless_dump_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """No more than the limit is read."""
    monkeypatch.setattr(selection, "MAX_TEXT", 1000)
    code, out, err = run("simulate", option, "/dev/zero", "--hook", "INPUT", "--packet", PACKET)
    assert (code, out) == (2, "")
    assert err == ["error: /dev/zero: too large; expected at most 1,000 bytes in one file"]
