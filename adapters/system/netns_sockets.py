"""Opens sockets inside network namespaces from this process, and makes connections between them for tests.

A short-lived thread enters the namespace and opens the socket; the socket stays in that namespace when the thread ends.
Input: the file of a namespace, or :class:`ConnectionAttempt` values. Output: non-blocking sockets, or a
:class:`DeliveryOutcome` (accept, drop or reject) per attempt. The watches for rule changes use such sockets too.

Raises ``OSError`` if a socket cannot be opened. Sources: setns(2), ip-netns(8).
"""

import errno
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from adapters.system.libc import LIBC, last_error

CLONE_NEWNET = 0x40000000
IP_RECVERR, IPV6_RECVERR = 11, 25  # not in the socket module
ICMP_ORIGINS = (2, 3)  # SO_EE_ORIGIN_ICMP and _ICMP6, in contrast to local errors

T = TypeVar("T")


class DeliveryOutcome(StrEnum):
    """Result of a connection attempt or a packet."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"


REFUSALS = frozenset(
    {
        errno.ECONNREFUSED,  # TCP RST, port unreachable
        errno.ECONNRESET,  # TCP RST once connected
        errno.EHOSTUNREACH,  # host unreachable, host or communication prohibited
        errno.ENETUNREACH,  # net unreachable or prohibited
        errno.ENOPROTOOPT,  # protocol unreachable
        errno.EACCES,  # ICMPv6: prohibited, policy
    }
)
"""Error numbers that report a refusal, see icmp(7) and tcp(7)."""


@dataclass(frozen=True, slots=True)
class ConnectionAttempt:
    """Connection to make from the network namespace in the file ``netns``; protocol 6 is TCP, 17 is UDP."""

    netns: Path
    address: str
    port: int
    protocol: int


def run_in_namespace(netns: Path, work: Callable[[], T]) -> T:
    """Run ``work`` in a new thread inside a network namespace; return its result, or raise its error."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            _enter(netns)
            results.append(work())
        except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=body, name=f"inside {netns.name}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def opened(netns: Path, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """Open a non-blocking socket in a network namespace."""
    made = run_in_namespace(netns, lambda: socket.socket(family, kind, protocol))
    made.settimeout(0)
    return made


def listener(netns: Path, address: str, port: int, protocol: int) -> socket.socket:
    """Open a socket that listens at an address in a network namespace; `connect_all` answers its clients."""
    made = opened(netns, _family(address), _kind(protocol))
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        if protocol == socket.IPPROTO_TCP:
            made.listen(1024)
    except BaseException:
        made.close()
        raise
    return made


def connect_all(
    attempts: Sequence[ConnectionAttempt], listeners: Sequence[socket.socket], timeout: float
) -> list[DeliveryOutcome]:
    """Make all connections at once, and return the outcome of each after at most ``timeout`` seconds.

    ACCEPT: the answer of the listener arrived, so packets pass both ways. REJECT: an RST or an ICMP error arrived.
    DROP: neither arrived. Each port needs a listener: a closed port answers with an RST, like a rule that rejects.
    """
    outcomes = [DeliveryOutcome.DROP] * len(attempts)
    served: list[socket.socket] = []
    clients: dict[socket.socket, int] = {}
    with selectors.DefaultSelector() as selector:
        try:
            for each in listeners:
                selector.register(each, selectors.EVENT_READ)
            for index, attempt in enumerate(attempts):
                client = _client(attempt)
                clients[client] = index
                selector.register(client, selectors.EVENT_READ)
            waiting = len(clients)
            deadline = time.monotonic() + timeout
            while waiting and (left := deadline - time.monotonic()) > 0:
                for key, _events in selector.select(left):
                    ready = key.fileobj
                    if not isinstance(ready, socket.socket) or ready not in clients:
                        served += _serve(ready)
                    elif outcome := _outcome(ready):
                        outcomes[clients[ready]] = outcome
                        selector.unregister(ready)
                        waiting -= 1
        finally:
            for each in (*clients, *served):
                each.close()
    return outcomes


def _enter(netns: Path) -> None:
    # os.setns exists from Python 3.12 on; the C library's function also works with 3.11.
    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if LIBC.setns(descriptor, CLONE_NEWNET):
            raise last_error(str(netns))
    finally:
        os.close(descriptor)


def _client(attempt: ConnectionAttempt) -> socket.socket:
    family, kind = _family(attempt.address), _kind(attempt.protocol)
    client = opened(attempt.netns, family, kind)
    if family == socket.AF_INET:
        client.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)  # without it, errors are hidden; see ip(7)
    else:
        client.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    if attempt.protocol == socket.IPPROTO_TCP:
        # Closing sends an RST, which leaves no connection behind.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    number = client.connect_ex((attempt.address, attempt.port))
    if number not in {0, errno.EINPROGRESS, *REFUSALS}:  # such as no source address; recv reports refusals
        client.close()
        raise OSError(number, os.strerror(number), attempt.address)
    if attempt.protocol == socket.IPPROTO_UDP:
        with suppress(PermissionError):  # dropped on output, or rejected, which an ICMP error reports
            client.send(b"nodewall?")
    return client


def _outcome(client: socket.socket) -> DeliveryOutcome | None:
    try:
        client.recv(64)
    except BlockingIOError:
        return _queued(client)
    except OSError as error:
        if error.errno in REFUSALS:
            return DeliveryOutcome.REJECT
        raise
    return DeliveryOutcome.ACCEPT


def _queued(client: socket.socket) -> DeliveryOutcome | None:
    """Look for an ICMP error in the error queue; one that came while the first SYN was sent is only there."""
    with suppress(BlockingIOError):  # the queue is empty
        for _level, _kind, data in client.recvmsg(64, 512, socket.MSG_ERRQUEUE)[1]:
            number, origin = struct.unpack_from("=IB", data)  # struct sock_extended_err
            if number in REFUSALS and origin in ICMP_ORIGINS:
                return DeliveryOutcome.REJECT
    return None


def _serve(listening: object) -> list[socket.socket]:
    """Answer a client of a listener; return the sockets to close later."""
    if not isinstance(listening, socket.socket):
        return []
    # BlockingIOError: the client is gone. PermissionError: a rule stops the answer, and the client times out.
    with suppress(BlockingIOError, PermissionError):
        if listening.type == socket.SOCK_STREAM:
            return [_greeted(listening.accept()[0])]
        listening.sendto(b"nodewall!", listening.recvfrom(64)[1])
    return []


def _greeted(connection: socket.socket) -> socket.socket:
    with suppress(OSError):  # the client may have gone
        connection.send(b"nodewall!")
    return connection


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _kind(protocol: int) -> int:
    return {socket.IPPROTO_TCP: socket.SOCK_STREAM, socket.IPPROTO_UDP: socket.SOCK_DGRAM}[protocol]
