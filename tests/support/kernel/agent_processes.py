"""Agent in a separate process that reads a log, and helpers to append to the log."""

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from adapters import wiring
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import choose_backend
from adapters.system.process import SystemRunner
from engine.desired.full import DesiredRuleset
from engine.desired.incremental import Derivation, derive
from engine.errors import LogConflict
from engine.events import EventBody, declaration_of
from engine.reconcile.log_interfaces import EventLog, LogWriter
from engine.rulesets.diff import diff
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState, evolve
from tests.support.kernel.connection_stream import NODE
from tests.support.rulesets.ruleset_builders import node

NODEWALL = (sys.executable, "-m", "adapters.cli")
"""Command line of nodewall, as a program."""


class AgentProcess:
    """Agent process for a Node in a network namespace, and the namespace's backend."""

    def __init__(self, netns: str, backend: str, log: Path, node: str = "cp-1", *more: str) -> None:
        self.kernel = choose_backend(SystemRunner(netns), BackendName(backend))
        self._words = ["agent", "--log", str(log), "--node", node, "--netns", netns, "--backend", backend, *more]
        self._errors = log.with_suffix(".err")
        self._agent = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        with self._errors.open("ab") as errors:
            return subprocess.Popen([*NODEWALL, *self._words], stderr=errors)

    @property
    def pid(self) -> int:
        """Process id of the agent."""
        return self._agent.pid

    def kill(self) -> None:
        """Kill the agent, at any point of its work."""
        self._agent.kill()
        self._agent.wait()

    def ends(self) -> int:
        """Send SIGTERM to the agent, and return its exit code."""
        self._agent.terminate()
        return self._agent.wait(10)

    def restart(self) -> None:
        """Start the agent again."""
        self._agent = self._started()

    def reaches(self, wanted: Ruleset, seconds: float) -> bool:
        """Wait until the kernel holds exactly these own rules and sets; return False if ``seconds`` pass before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not diff(self.kernel.observe(), wanted):
                return True
            assert self._agent.poll() is None, self._errors.read_text()
            time.sleep(0.03)
        return False


def append(log: LogWriter, bodies: Sequence[EventBody]) -> None:
    """Append events; try again if an agent appends at the same time."""
    while True:
        with suppress(LogConflict):
            log.append(bodies, source="test", expected=log.last_sequence())
            return


def begun_log(path: Path) -> tuple[EventLog, Derivation]:
    """Return a new log with the Node of the stream, and the desired state that follows from it."""
    log, first = wiring.event_log(str(path)), declaration_of(node("cp-1", *NODE.addresses))
    log.append([first], source="test", expected=0)
    return log, derive(evolve(ClusterState(), first), "cp-1")


def after(current: Derivation, bodies: Iterable[EventBody]) -> Derivation:
    """Return the desired state after more events."""
    for body in bodies:
        current = current.after(body)
    return current


def desired_by(derivation: Derivation) -> DesiredRuleset:
    """Return the desired ruleset, which must exist."""
    assert derivation.desired is not None
    return derivation.desired
