"""An agent restores its policy while a neighbour rewrites its own rules and flushes INPUT; no rules are lost."""

import threading
import time
from pathlib import Path
from typing import Self

import pytest

from adapters.lab.netns import Lab
from adapters.system.process import SystemRunner
from tests.support.kernel.agent_processes import AgentProcess, after, append, begun_log
from tests.support.kernel.connection_stream import CLIENT, NODE
from tests.support.kernel.policy_author import Author
from tests.support.rulesets.ruleset_builders import SOAK

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

FLUSHES = 300 if SOAK else 10
"""For each backend."""

_RATE = 20
"""Times per second that the neighbour writes its chain, at most."""

_TOOLS = ("iptables", "ip6tables")


class Neighbour:
    """Others, who write a chain of theirs again and again, and look whether it was as they left it."""

    def __init__(self, netns: str, backend: str) -> None:
        self._runner = SystemRunner(netns)
        self._backend = backend
        self._wait = ("-w",) if backend == "legacy" else ()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        self.written = 0
        self.lost: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def flush(self) -> None:
        """Flush INPUT, with all that stands in it."""
        for tool in _TOOLS:
            self._run(tool, "-F", "INPUT")

    def _go_on(self) -> None:
        left = dict.fromkeys(_TOOLS, "-N theirs\n")
        following = time.monotonic()
        while not self._ends.wait(max(0.0, following - time.monotonic())):
            following += 1 / _RATE
            tool = _TOOLS[self.written % 2]
            rules = [
                f"-A theirs -p tcp -m tcp --dport {self.written % 60_000 + port} -j RETURN" for port in range(1, 6)
            ]
            text = "\n".join(("*filter", ":theirs - [0:0]", *rules, "COMMIT\n"))
            if self.written > 1 and (found := self._run(tool, "-S", "theirs")) != left[tool]:
                self.lost.append(found)
            self._runner.run([f"{tool}-{self._backend}-restore", "--noflush", *self._wait], text).or_refused(tool)
            left[tool] = "\n".join(("-N theirs", *rules, ""))
            self.written += 1

    def _run(self, tool: str, *words: str) -> str:
        return self._runner.run([f"{tool}-{self._backend}", *self._wait, *words]).or_refused(tool)


def test_policy_comes_back_whatever_neighbours_do(backend: str, tmp_path: Path) -> None:
    """A neighbour flushes INPUT each second and writes rules 20 times a second, while policies change."""
    author = Author(f"neighbours {backend}")
    log, current = begun_log(tmp_path / "events.db")
    with Lab((NODE, CLIENT)) as lab:
        agent = AgentProcess(lab.netns("node"), backend, tmp_path / "events.db")
        try:
            assert agent.reaches(current.ruleset, 20)
            with Neighbour(lab.netns("node"), backend) as neighbour:
                begin = time.monotonic()
                for number in range(FLUSHES):
                    time.sleep(max(0.0, begin + number - time.monotonic()))
                    if number % 3 == 0:
                        bodies = list(author.news())
                        current = after(current, bodies)
                        append(log, bodies)
                    neighbour.flush()
                    assert agent.reaches(current.ruleset, 20)
        finally:
            agent.kill()
    assert not neighbour.lost
    assert neighbour.written > FLUSHES
