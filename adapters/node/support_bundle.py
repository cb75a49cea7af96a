"""Support bundle: one archive with the desired rules, the kernel's rules and the newest events of a Node.

Input: an event log, a :class:`Runner` (runs programs), and optionally the TCP port of the agent. Output: a ``.tar.gz``
file with mode 0600. The archive has no keys and no passwords, but it has policies, labels and addresses. Nothing on the
Node is changed. A part that cannot be collected is listed in ``missing.txt``.

Raises ``OSError`` if the archive cannot be written.
"""

import io
import json
import platform
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path

from adapters.eventlog.snapshots import Snapshots
from adapters.system.process import Runner
from engine.desired.full import desired_ruleset
from engine.errors import NodewallError
from engine.reconcile.interfaces import Clock
from engine.reconcile.log_interfaces import AuditedLog
from engine.rulesets.text.steps import full_text
from engine.state.fold import ClusterState
from engine.status.policy_status import PolicyStatus, node_policy_statuses

_EVENTS = 2000
"""Number of newest events in the bundle."""

_PROGRAMS: Sequence[tuple[str, Sequence[str]]] = (
    *(
        (f"kernel/{tool}-{backend}.txt", (f"{tool}-{backend}-save", "--counters"))
        for backend in ("nft", "legacy")
        for tool in ("iptables", "ip6tables")
    ),
    ("kernel/ipset.txt", ("ipset", "save")),
    ("host/addresses.json", ("ip", "-json", "address")),
    ("host/routes.json", ("ip", "-json", "route", "show", "table", "all")),
    ("host/routes6.json", ("ip", "-json", "-6", "route", "show", "table", "all")),
    ("host/rules.json", ("ip", "-json", "rule")),
    ("host/connections.txt", ("conntrack", "-C")),
)
"""Files in the bundle, each with the command whose output it holds."""

_FILES = (
    ("host/kernel.txt", "/proc/version"),
    ("host/modules.txt", "/proc/modules"),
    ("host/os.txt", "/etc/os-release"),
)
StateLoader = Callable[[], ClusterState]

_PAGES = ("healthz", "readyz", "metrics")

_SECONDS = 5.0
"""Timeout of a request to the agent, in seconds."""


@dataclass(frozen=True, slots=True)
class SupportBundle:
    """Sources of a bundle; ``pages`` is the agent's port on loopback, None to omit the agent's pages."""

    node: str
    log: AuditedLog
    runner: Runner
    clock: Clock
    statuses_as_json: Callable[[Sequence[PolicyStatus]], object]
    """Converts policy statuses to a JSON value."""
    pages: int | None = None

    def write(self, path: str) -> Sequence[str]:
        """Write the archive, and return a line for each part that could not be collected.

        Raises:
            OSError: the archive cannot be written, or exists already.
        """
        missing: list[str] = []
        now = int(self.clock.now().timestamp())
        with tarfile.open(path, "x:gz") as archive:
            for name, tell in self._parts():
                try:
                    text = tell()
                except (NodewallError, OSError, HTTPException) as error:
                    missing.append(f"{name}: {error}")
                else:
                    _add(archive, name, text, now)
            _add(archive, "missing.txt", "".join(f"{each}\n" for each in missing).encode(), now)
        Path(path).chmod(0o600)
        return missing

    def _parts(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield the file name of each part, and the function that returns its content."""
        yield "versions.json", self._versions
        state = cache(lambda: Snapshots(self.log).reached()[0])
        yield "log/status.json", partial(self._status, state)
        yield "log/wanted.txt", partial(self._wanted, state)
        yield "log/config.json", partial(self._config, state)
        yield "log/events.jsonl", self._events
        yield "log/verified.txt", self._verified
        for name, words in _PROGRAMS:
            yield name, partial(self._program, words)
        for name, path in _FILES:
            yield name, partial(_read, path)
        for page in _PAGES if self.pages is not None else ():
            yield f"agent/{page}.txt", partial(self._page, page)

    def _verified(self) -> bytes:
        return _encoded(f"{self.log.verify()} events\n")

    def _program(self, words: Sequence[str]) -> bytes:
        return _encoded(self.runner.run(words).or_refused(words[0]))

    def _versions(self) -> bytes:
        return _as_json(
            {"nodewall": version("nodewall"), "python": platform.python_version(), "machine": platform.machine()}
        )

    def _status(self, state: StateLoader) -> bytes:
        return _as_json(self.statuses_as_json(node_policy_statuses(state(), self.node)))

    def _wanted(self, state: StateLoader) -> bytes:
        texts = full_text(desired_ruleset(state(), self.node).ruleset)
        return _encoded("".join(f"# {tool}\n{text}" for tool, text in texts.items()))

    @staticmethod
    def _config(state: StateLoader) -> bytes:
        return _as_json(state().config.model_dump(mode="json", by_alias=True))

    def _events(self) -> bytes:
        last = self.log.last_sequence()
        lines = (json.dumps(event.as_json(), ensure_ascii=False) for event in self.log.read(max(0, last - _EVENTS)))
        return _encoded("".join(f"{line}\n" for line in lines))

    def _page(self, page: str) -> bytes:
        with closing(HTTPConnection("127.0.0.1", self.pages, timeout=_SECONDS)) as connection:
            connection.request("GET", f"/{page}")
            return connection.getresponse().read()


def _add(archive: tarfile.TarFile, name: str, content: bytes, time: int) -> None:
    entry = tarfile.TarInfo(f"nodewall/{name}")
    entry.size, entry.mtime, entry.mode = len(content), time, 0o600
    archive.addfile(entry, io.BytesIO(content))


def _as_json(value: object) -> bytes:
    return f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode()


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _read(path: str) -> bytes:
    return Path(path).read_bytes()
