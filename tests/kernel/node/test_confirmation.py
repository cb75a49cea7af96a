"""An apply that is not confirmed in time is taken back, whatever becomes of nodewall."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.cli import main
from adapters.node.commit_confirm import PendingConfirmation, confirm
from adapters.node.node_lock import FOLDER
from adapters.system.process import SystemRunner
from adapters.wiring import event_log
from engine.errors import Refused
from engine.events.outcomes import ApplyFailed
from tests.support.cli.planted_modules import Planted
from tests.support.kernel.node_namespaces import WORLD, NodeUnderTest, allow, drop_all

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel", "quiet")]

Words = tuple[str, ...]


@pytest.fixture
def quiet(busy: NodeUnderTest) -> Iterator[None]:
    """Nothing awaits confirmation in the end, and no file is left."""
    yield
    waiting = PendingConfirmation(busy.netns)
    waiting.pending.unlink(missing_ok=True)
    assert not [path for path in FOLDER.glob("*") if busy.netns in path.name]


def cli(busy: NodeUnderTest, *given: str) -> tuple[int, str]:
    """Run a command that knows no kernel; return its exit code and what it printed."""
    busy.capsys.readouterr()
    return main(list(given)), busy.capsys.readouterr().out


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that takes a moment."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def words(busy: NodeUnderTest, seconds: str) -> Words:
    """An apply of a world that waits for its confirmation."""
    return ("apply", "-f", busy.manifests(*WORLD), "--node", "cp-1", "--yes", "--confirm-timeout", seconds)


def test_what_nobody_confirms_is_taken_back(busy: NodeUnderTest) -> None:
    """After the time the state before is in force again, with policies that were applied earlier."""
    busy.apply(allow("clients", "10.7.0.0/16"), drop_all())
    before = busy.texts()

    found = busy.json(*words(busy, "1"))

    assert (found["applied"], found["confirm_within"]) == (True, 1.0)
    assert busy.texts() != before
    until(lambda: busy.texts() == before)


def test_what_is_confirmed_stays(busy: NodeUnderTest) -> None:
    """A confirmation in time keeps what was applied, and there is only one to give."""
    busy.json(*words(busy, "4"))
    after = busy.texts()

    assert busy.nodewall("confirm") == (0, "confirmed: it stays\n", "")
    code, _, err = busy.nodewall("confirm")
    assert (code, err.startswith("error: nothing awaits confirmation; expected an apply")) == (2, True)
    time.sleep(4.5)
    assert busy.texts() == after


def test_it_can_be_taken_back_at_once(busy: NodeUnderTest) -> None:
    """Who sees that all is wrong need not wait."""
    before = busy.texts()
    busy.json(*words(busy, "600"))
    assert busy.texts() != before

    assert busy.nodewall("rollback") == (0, "rolled back: the state before is in force\n", "")

    assert busy.texts() == before
    assert busy.nodewall("rollback")[0] == 2


def test_another_apply_waits_for_the_first(busy: NodeUnderTest) -> None:
    """While one awaits confirmation no other that shall be confirmed is begun."""
    busy.json(*words(busy, "600"))

    code, _, err = busy.nodewall(*words(busy, "600"))

    assert (code, err.splitlines()[-1]) == (
        2,
        "error: an apply awaits confirmation; expected nodewall confirm or nodewall rollback first",
    )
    assert busy.nodewall("confirm")[0] == 0


def test_an_apply_that_fails_awaits_nothing(busy: NodeUnderTest) -> None:
    """What was refused changed nothing, so there is nothing to confirm."""
    assert busy.nodewall(*words(busy, "600"), "--max-seconds", "0")[0] == 3
    with pytest.raises(Refused, match="nothing awaits confirmation"):
        confirm(busy.netns)


def test_it_is_taken_back_even_if_nodewall_is_killed(busy: NodeUnderTest) -> None:
    """The process that waits is another one: it outlives the one that applied, killed before it could say anything."""
    before = busy.texts()
    script = (
        "import os, signal\n"
        "from adapters.cli import main\n"
        "import adapters.cli.commands.apply.apply as node\n"
        "node.emit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"main({[*words(busy, '1'), '--netns', busy.netns, '--backend', busy.backend]!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)

    assert done.returncode == -signal.SIGKILL
    assert busy.texts() != before
    until(lambda: busy.texts() == before)


def test_planted_modules_do_not_run_as_root(
    busy: NodeUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a folder that others can write, the apply is taken back, recorded, and none of their code runs."""
    planted = Planted(tmp_path / "planted")
    planted.folder.chmod(0o777)
    monkeypatch.chdir(planted.folder)
    for name, value in planted.environment.items():
        monkeypatch.setenv(name, value)
    before = busy.texts()
    cli(busy, "log", "append", "--log", "events.db", "-f", busy.manifests(*WORLD))
    busy.json("apply", "--log", "events.db", "--node", "cp-1", "--yes", "--confirm-timeout", "0.5")

    until(lambda: isinstance(list(event_log("events.db").read())[-1].body, ApplyFailed))

    assert busy.texts() == before
    assert planted.ran() == []


def test_the_log_tells_what_was_taken_back(busy: NodeUnderTest) -> None:
    """A rollback is on record as a failure of the state that was applied, and status says so."""
    path = str(busy.folder / "events.db")
    cli(busy, "log", "append", "--log", path, "-f", busy.manifests(*WORLD))
    log = event_log(path)
    busy.json("apply", "--log", path, "--node", "cp-1", "--yes", "--confirm-timeout", "0.5")

    until(lambda: isinstance(list(log.read())[-1].body, ApplyFailed))

    body = list(log.read())[-1].body
    assert isinstance(body, ApplyFailed)
    assert body.words == "rolled back as it was not confirmed within 0.5 s"
    _, out = cli(busy, "status", "--log", path, "--node", "cp-1", "-o", "json")
    assert {policy["phase"] for policy in json.loads(out)} == {"Failed"}


def test_a_process_that_is_gone_waits_for_nothing(busy: NodeUnderTest) -> None:
    """A leftover of a process that was killed stops nobody."""
    FOLDER.mkdir(exist_ok=True)
    PendingConfirmation(busy.netns).pending.write_text(str(os.getpid()))  # which is no such process

    assert busy.nodewall("confirm")[0] == 2
    busy.json(*words(busy, "600"))
    assert busy.nodewall("confirm")[0] == 0


def test_another_namespace_of_the_same_name_is_left_alone(busy: NodeUnderTest) -> None:
    """Where the namespace is gone by the time, another one that bears its name keeps the rules that it has."""
    path = str(busy.folder / "events.db")
    cli(busy, "log", "append", "--log", path, "-f", busy.manifests(*WORLD))
    busy.json("apply", "--log", path, "--node", "cp-1", "--yes", "--confirm-timeout", "1")
    ip = SystemRunner()
    ip.run(["ip", "netns", "del", busy.netns]).or_refused("ip")
    ip.run(["ip", "netns", "add", busy.netns]).or_refused("ip")
    busy.run("iptables -N NW-OURS")

    until(lambda: isinstance(list(event_log(path).read())[-1].body, ApplyFailed))

    body = list(event_log(path).read())[-1].body
    assert isinstance(body, ApplyFailed)
    assert body.words.endswith(f"which failed: the network namespace {busy.netns} is another one by now")
    assert "-N NW-OURS" in busy.run("iptables -S")
