"""Temporary networks of network namespaces, for tests of rules with real connections.

Input: :class:`LabHost` values, each a host name with addresses. Output: a :class:`Lab`, a context manager that creates
the network and removes it at exit. Its ``connect`` methods return a :class:`DeliveryOutcome` (accepted, rejected or
dropped) per attempt.

Each host is a namespace. The ``eth0`` of every host joins a bridge in a further namespace, so all hosts share one link.
The network of the machine itself stays unchanged. Raises ``KernelError`` if ip(8) is missing or fails.

Sources: ip-netns(8), veth(4), bridge(8).
"""

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Self

from adapters.system.netns_sockets import ConnectionAttempt, DeliveryOutcome, connect_all, listener, run_in_namespace
from adapters.system.process import Runner, SystemRunner, namespace_path, namespaces

__all__ = ["DeliveryOutcome", "Lab", "LabHost", "Namespaces", "configure"]

PREFIX = "nodewall"
HUB = "hub"

QUIET: Mapping[str, str] = {
    "ipv4/conf/all/rp_filter": "0",  # only the rules judge a packet, also with a source that has no route back
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/icmp_ratelimit": "0",  # a rejection suppressed by the limit would look like a drop
    "ipv4/icmp_ratemask": "0",
    "ipv6/icmp/ratelimit": "0",
    "ipv6/icmp/ratemask": "0",
    "ipv6/conf/all/accept_dad": "0",  # an address works as soon as it is added
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/accept_ra": "0",
}
"""Settings under /proc/sys/net for every namespace; see ip-sysctl in the kernel documentation."""

PATIENT: Mapping[str, str] = {
    "ipv4/neigh/eth0/mcast_solicit": "60",  # dropped neighbour discovery must look like a drop, not an unreachable host
    "ipv6/neigh/eth0/mcast_solicit": "60",
}


@dataclass(frozen=True, slots=True)
class LabHost:
    """Host of a lab, with its IPv4 and IPv6 addresses."""

    name: str
    addresses: tuple[str, ...]


class _Closing(ABC):
    """Context manager that creates resources on entry, and removes them even if the entry fails half way."""

    __slots__ = ()

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _make(self) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Remove the resources that were created."""


@dataclass(slots=True)
class Namespaces(_Closing):
    """Network namespaces ``nodewall-<pid>-<n>-<name>`` that exist while the context is entered.

    The entry also removes namespaces that ended processes have left.
    """

    names: tuple[str, ...]
    runner: Runner = field(default_factory=SystemRunner)
    _made: dict[str, str] = field(default_factory=dict, init=False)

    def _make(self) -> None:
        self._delete(_orphans(namespaces()))
        number = _free_number(namespaces())
        self._made = {name: f"{PREFIX}-{os.getpid()}-{number}-{name}" for name in self.names}
        self.batch([f"netns add {made}" for made in self._made.values()])
        for made in self._made.values():
            configure(made, QUIET)

    def __getitem__(self, name: str) -> str:
        return self._made[name]

    def batch(self, lines: Iterable[str], within: str = "") -> None:
        """Run several commands with one call of ip(8).

        Args:
            lines: the commands, without the word ``ip``.
            within: the short name of the namespace, empty for this process's own.

        Raises:
            ToolMissing: ip is not installed.
            KernelRefused: a command failed; the commands after it did not run.
        """
        where = ("-n", self[within]) if within else ()
        text = "".join(f"{line}\n" for line in lines)
        self.runner.run(["ip", *where, "-batch", "-"], text).or_refused("ip")

    def close(self) -> None:
        """Remove the namespaces that were created and still exist."""
        there = set(namespaces())
        self._delete([made for made in self._made.values() if made in there])
        self._made = {}

    def _delete(self, names: Sequence[str]) -> None:
        """Remove namespaces; ignore one that another process removes at the same time."""
        if names:
            self.runner.run(["ip", "-force", "-batch", "-"], "".join(f"netns del {name}\n" for name in names))


@dataclass(slots=True)
class Lab(_Closing):
    """Network of hosts that exists while the context is entered; host names must be valid in a namespace's name."""

    hosts: tuple[LabHost, ...]
    runner: Runner = field(default_factory=SystemRunner)
    _namespaces: Namespaces = field(init=False)
    _listeners: dict[tuple[str, int, int], socket] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._namespaces = Namespaces((HUB, *(host.name for host in self.hosts)), self.runner)

    def _make(self) -> None:
        self._namespaces.__enter__()
        self._build()

    def netns(self, host: str) -> str:
        """Return the name of a host's network namespace."""
        return self._namespaces[host]

    def close(self) -> None:
        """Stop listening and remove the namespaces."""
        try:
            self._hang_up(list(self._listeners))
        finally:
            self._namespaces.close()

    @contextmanager
    def listening(self, host: str, ports: Iterable[tuple[int, int]]) -> Iterator[None]:
        """Listen at ``(protocol, port)`` pairs on all addresses of a host in the block; 6 is TCP, 17 is UDP.

        The listeners answer only while `connect` or `connect_all` runs. Raises ``OSError`` where a port is in use.
        """
        addresses = next(each.addresses for each in self.hosts if each.name == host)
        mine = [(address, protocol, port) for address in addresses for protocol, port in ports]
        try:
            for at in mine:
                self._listen(host, *at)
            yield
        finally:
            self._hang_up(mine)

    def connect(self, source: str, address: str, port: int, protocol: int, timeout: float = 1) -> DeliveryOutcome:
        """Try a real TCP connection, or a UDP request with an answer, and return the outcome.

        If a host has the address but does not listen yet, it listens from now on. ``timeout`` is in seconds.
        """
        return self.connect_all([(source, address, port, protocol)], timeout)[0]

    def connect_all(self, attempts: Sequence[tuple[str, str, int, int]], timeout: float = 1) -> list[DeliveryOutcome]:
        """Try several connections ``(source host, address, port, protocol)`` at the same time, as `connect` does."""
        owners = {address: host.name for host in self.hosts for address in host.addresses}
        for _source, address, port, protocol in attempts:
            if address in owners and (address, protocol, port) not in self._listeners:
                self._listen(owners[address], address, protocol, port)
        made = [
            ConnectionAttempt(namespace_path(self.netns(source)), address, port, protocol)
            for source, address, port, protocol in attempts
        ]
        return connect_all(made, list(self._listeners.values()), timeout)

    def _listen(self, host: str, address: str, protocol: int, port: int) -> None:
        where = namespace_path(self.netns(host))
        self._listeners[address, protocol, port] = listener(where, address, port, protocol)

    def _hang_up(self, places: Iterable[tuple[str, int, int]]) -> None:
        for place in places:
            if place in self._listeners:
                self._listeners.pop(place).close()

    def _build(self) -> None:
        ports = {host.name: f"port{index}" for index, host in enumerate(self.hosts)}
        self._namespaces.batch(
            ["link add br0 type bridge mcast_snooping 0", "link set br0 up", *self._cables(ports)], HUB
        )
        for host in self.hosts:
            self._namespaces.batch(_host_lines(host), host.name)
            configure(self.netns(host.name), PATIENT)

    def _cables(self, ports: Mapping[str, str]) -> Iterator[str]:
        for host, port in ports.items():
            yield f"link add {port} type veth peer name eth0 netns {self.netns(host)}"
            yield f"link set {port} master br0 up"


def configure(netns: str, settings: Mapping[str, str]) -> None:
    """Write settings under /proc/sys/net of a network namespace; skip those that do not exist here."""

    def write() -> None:
        for name, value in settings.items():
            with suppress(FileNotFoundError):  # older kernels lack some, and ordinary users do not see all
                Path("/proc/sys/net", name).write_text(value)

    run_in_namespace(namespace_path(netns), write)


def _host_lines(host: LabHost) -> Iterator[str]:
    yield "link set lo up"
    yield "link set eth0 up"
    for address in host.addresses:
        yield f"addr add {address}/128 dev eth0 nodad" if ":" in address else f"addr add {address}/32 dev eth0"
    yield "route add 0.0.0.0/0 dev eth0"
    yield "route add ::/0 dev eth0"


def _free_number(there: Iterable[str]) -> int:
    """Return the smallest number that no namespace of this process has."""
    taken = {name.split("-")[2] for name in there if name.startswith(f"{PREFIX}-{os.getpid()}-")}
    return next(number for number in itertools.count() if str(number) not in taken)


def _orphans(there: Iterable[str]) -> list[str]:
    return [name for name in there if _is_orphan(name)]


def _is_orphan(name: str) -> bool:
    """Return True for a namespace of a lab whose process has ended."""
    words = name.split("-", 3)
    return len(words) == 4 and words[0] == PREFIX and words[1].isdigit() and not Path("/proc", words[1]).exists()
