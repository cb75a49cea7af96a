"""Constant stream of real TCP connections to a Node, and a check of each against the rules enforced at that time.

As a program in a host's network namespace, this module is the client or the server of the stream. It runs in a separate
process, so that other work hardly delays it.
"""

import errno
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from adapters.lab.netns import Lab, LabHost
from adapters.system.netns_sockets import DeliveryOutcome
from adapters.system.process import program_path
from engine.rulesets.model import Hook, Ruleset
from simulator.netfilter import Walker
from simulator.packets import Packet, protocol_names
from tests.support.seeds import seeded

NODE = LabHost("node", ("192.0.2.1", "2001:db8:ffff::1"))
CLIENT = LabHost(
    "client", (*(f"10.1.0.{number}" for number in range(16)), *(f"2001:db8::{number:x}" for number in range(16)))
)
PORTS = (80, 443, 8080)

_PATIENCE = 0.9
"""Seconds after which a connection counts as dropped; shorter than the time until TCP sends the SYN again."""

_SLACK = 0.03
"""Seconds after sending in which the rules may still judge the first packet."""

_RATE = 500
"""Connections begun per second."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One connection: source address, port, the times before and after its first packet was sent, and the outcome."""

    source: str
    port: int
    begun: float
    sent: float
    outcome: DeliveryOutcome


# In the hosts' network namespaces


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def _serve() -> None:
    """Accept connections at all ports, and greet each client."""
    with selectors.DefaultSelector() as selector:
        for port in PORTS:
            listening = socket.create_server(
                ("::", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True, reuse_port=False
            )
            listening.settimeout(0)
            selector.register(listening, selectors.EVENT_READ)
        _say("ready")
        sys.stdout.flush()
        while True:
            for key, _ in selector.select():
                listening = key.fileobj  # type: ignore[assignment] # only sockets were registered
                with suppress(OSError):  # the client may have gone
                    connection = listening.accept()[0]
                    with connection:
                        connection.send(b"nodewall!")


class _Client:
    """Begins random connections, and prints the outcome of each."""

    def __init__(self, seed: str) -> None:
        self._dice = seeded(seed)
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[socket.socket, tuple[str, int, float, float]] = {}

    def run(self) -> None:
        """Begin connections until SIGTERM, then wait until all have ended."""
        ended: list[bool] = []
        signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
        _say("ready")
        sys.stdout.flush()
        following = time.monotonic()
        while self._waiting or not ended:
            now = time.monotonic()
            if now >= following and not ended:
                self._begin()
                following = max(following + 1 / _RATE, now - 0.1)
            for key, _ in self._selector.select(0 if now >= following else min(following - now, 0.01)):
                self._look(key.fileobj)  # type: ignore[arg-type] # only sockets were registered
            self._give_up(now)

    def _begin(self) -> None:
        source, port = self._dice.choice(CLIENT.addresses), self._dice.choice(PORTS)
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.settimeout(0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing sends an RST
        made.bind((source, 0))
        begun = time.monotonic()
        number = made.connect_ex((NODE.addresses[family == socket.AF_INET6], port))
        self._waiting[made] = source, port, begun, time.monotonic()
        self._selector.register(made, selectors.EVENT_READ)
        if number == errno.ECONNREFUSED:
            self._end(made, DeliveryOutcome.REJECT)

    def _look(self, made: socket.socket) -> None:
        with suppress(BlockingIOError):
            try:
                made.recv(64)
                self._end(made, DeliveryOutcome.ACCEPT)
            except ConnectionRefusedError:
                self._end(made, DeliveryOutcome.REJECT)

    def _give_up(self, now: float) -> None:
        old = []
        for made, (*_, begun, _sent) in self._waiting.items():
            if begun > now - _PATIENCE:
                break  # connections are in the order of their begin
            old.append(made)
        for made in old:
            self._end(made, DeliveryOutcome.DROP)

    def _end(self, made: socket.socket, outcome: DeliveryOutcome) -> None:
        _say(*self._waiting.pop(made), outcome)
        self._selector.unregister(made)
        made.close()


# In the test's process


@dataclass(slots=True)
class Stream:
    """Stream of connections from the lab's client to its Node; the outcomes are known after its end."""

    lab: Lab
    folder: Path
    _processes: list["subprocess.Popen[bytes]"] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        for host in (NODE, CLIENT):
            self._start(host.name)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def _start(self, part: str) -> None:
        ip = program_path("ip")
        words = [
            ip,
            "netns",
            "exec",
            self.lab.netns(part),
            sys.executable,
            "-m",
            "tests.support.kernel.connection_stream",
            part,
        ]
        with self._said(part).open("w") as out:
            self._processes.append(subprocess.Popen(words, stdout=out))
        while not self._said(part).read_text():
            assert self._processes[-1].poll() is None
            time.sleep(0.02)

    def _said(self, part: str) -> Path:
        return self.folder / f"{part}.out"

    def tried(self) -> list[Tried]:
        """End the stream, and return all connections."""
        server, client = self._processes
        client.terminate()
        assert (client.wait(30), server.poll()) == (0, None)
        return [
            Tried(source, int(port), float(begun), float(sent), DeliveryOutcome(outcome))
            for source, port, begun, sent, outcome in map(
                str.split, self._said(CLIENT.name).read_text().splitlines()[1:]
            )
        ]


@dataclass(slots=True)
class History:
    """Rulesets in the order in which they were enforced, with the times of each change."""

    rulesets: list[Ruleset]
    begins: list[float] = field(default_factory=lambda: [float("-inf")])
    ends: list[float] = field(default_factory=list)
    _walkers: dict[int, Walker] = field(default_factory=dict, init=False)
    _known: dict[tuple[int, str, int], DeliveryOutcome] = field(default_factory=dict, init=False)

    @contextmanager
    def becomes(self, ruleset: Ruleset) -> Iterator[None]:
        """Record that the body of the context changes the enforced rules to ``ruleset``."""
        self.rulesets.append(ruleset)
        self.begins.append(time.monotonic())
        yield
        self.ends.append(time.monotonic())

    def verdicts(self, tried: Tried) -> set[DeliveryOutcome]:
        """Return the verdicts of all rulesets that may have been enforced when the connection began."""
        first = bisect_left(self.ends, tried.begun)
        last = bisect_right(self.begins, tried.sent + _SLACK) - 1
        return {self._verdict(number, tried) for number in range(first, last + 1)}

    def _verdict(self, number: int, tried: Tried) -> DeliveryOutcome:
        key = number, tried.source, tried.port
        if key not in self._known:
            walker = self._walkers.setdefault(number, Walker(self.rulesets[number]))
            answer = walker.verdict(_first_packet(tried), Hook.INPUT)
            assert not answer.assumptions
            self._known[key] = DeliveryOutcome(answer.verdict.value)
        return self._known[key]


def _first_packet(tried: Tried) -> Packet:
    source = ip_address(tried.source)
    return Packet(
        src=source,
        dst=ip_address(NODE.addresses[source.version == 6]),
        protocol=protocol_names.TCP,
        sport=40_000,
        dport=tried.port,
        flags=frozenset({"SYN"}),
        in_interface="eth0",
    )


def against(history: History, stream: Sequence[Tried]) -> Counter[str]:
    """Check connections against the enforced rules; count all, each outcome, and those with several right verdicts."""
    seen = Counter[str]()
    for tried in stream:
        allowed = history.verdicts(tried)
        assert tried.outcome in allowed, (tried, allowed)
        seen.update(("all", tried.outcome, *(("between two verdicts",) if len(allowed) > 1 else ())))
    return seen


if __name__ == "__main__":
    with suppress(PermissionError):
        os.nice(-10)  # a delay by other processes would look like a drop
    _serve() if sys.argv[1] == NODE.name else _Client("stream").run()
