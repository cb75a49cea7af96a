"""Detects changes of iptables-legacy rules by comparing copies of the kernel's tables, without starting a process.

Input: a network namespace. Output: the address families whose rules may have changed since the last call. Counters are
ignored. A table that cannot be read counts as changed.

The kernel does not report these changes, so the caller must poll. getsockopt(2) returns a whole table, in about a
millisecond for 1,000 rules. Raises ``OSError`` if no raw socket can be opened.

Sources: include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from adapters.system.libc import LIBC, last_error
from adapters.system.netns_sockets import run_in_namespace
from adapters.system.process import namespace_path
from engine.rulesets.model import Family

_GET_INFO, _GET_ENTRIES = 64, 65
_INFO = struct.Struct("=32s13I")  # struct ipt_getinfo: name, hooks, their chains and ends, number of entries, size
_ASKED = struct.Struct("=32sI4x")  # struct ipt_get_entries, before its entries
_LENGTH = struct.Struct("=H")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Binary layout of one family: socket option level, table list, and byte offsets of length and counters."""

    domain: socket.AddressFamily
    level: int
    names: str
    length: int
    counters: int


_LAYOUTS = {
    Family.IPV4: _Layout(socket.AF_INET, socket.IPPROTO_IP, "ip_tables_names", 90, 96),
    Family.IPV6: _Layout(socket.AF_INET6, socket.IPPROTO_IPV6, "ip6_tables_names", 142, 152),
}
_COUNTERS = 16  # bytes


@dataclass(frozen=True)
class _Rules:
    """Entries of a table with zeroed counters, and the byte offsets of the counters."""

    entries: bytearray
    counters: npt.NDArray[np.intp] = field(compare=False, repr=False)

    @classmethod
    def of(cls, entries: bytearray, layout: _Layout, known: "_Rules | None") -> "_Rules":
        """Return the rules in ``entries``; return ``known`` itself if only counters differ."""
        if known is not None and len(known.entries) == len(entries):
            fresh = entries.copy()
            np.frombuffer(fresh, np.uint8)[known.counters] = 0
            if fresh == known.entries:  # equal lengths too, so the counters are at the same offsets
                return known
        places = np.fromiter(_counters(entries, layout), np.intp)
        counters = (places[:, np.newaxis] + np.arange(_COUNTERS)).ravel()
        np.frombuffer(entries, np.uint8)[counters] = 0
        return cls(entries, counters)


def _counters(entries: bytearray, layout: _Layout) -> Iterator[int]:
    """Yield the byte offset of the counters of each entry."""
    begin = 0
    while begin < len(entries):
        yield begin + layout.counters
        (length,) = _LENGTH.unpack_from(entries, begin + layout.length)
        if not length:
            raise OSError(errno.EPROTO, "an entry of a table has no end")
        begin += length


class LegacyRuleChanges:
    """Detects changed iptables-legacy rules in a network namespace; empty means this process's own. Poll it."""

    descriptor = None

    def __init__(self, netns: str = "") -> None:
        self._namespace = os.open(namespace_path(netns), os.O_RDONLY | os.O_CLOEXEC) if netns else None
        self._sockets = {family: self._there(_opener(layout)) for family, layout in _LAYOUTS.items()}
        self._lists: dict[Family, int] = {}
        self._last: dict[Family, dict[str, _Rules]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets.values():
            each.close()
        for descriptor in (*self._lists.values(), *(() if self._namespace is None else (self._namespace,))):
            os.close(descriptor)

    def families(self) -> frozenset[Family]:
        """Return the families whose rules may have changed since the last call; all on the first call."""
        now: dict[Family, dict[str, _Rules]] = {}
        for family in Family:
            with suppress(OSError):  # unknown counts as changed
                now[family] = self._tables(family)
        found = frozenset(family for family in Family if family not in now or now[family] != self._last.get(family))
        self._last = now
        return found

    def _tables(self, family: Family) -> dict[str, "_Rules"]:
        layout, known = _LAYOUTS[family], self._last.get(family, {})
        found = {}
        # Asking for a missing table would make the kernel create it.
        for name in self._names(family):
            with suppress(FileNotFoundError):
                entries = _entries(self._sockets[family], layout, name.encode())
                found[name] = _Rules.of(entries, layout, known.get(name))
        return found

    def _names(self, family: Family) -> list[str]:
        """Return the names of the existing tables; the list is missing until a program uses the family's tables."""
        if family not in self._lists:
            path = f"/proc/thread-self/net/{_LAYOUTS[family].names}"
            with suppress(FileNotFoundError):
                self._lists[family] = self._there(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        return os.pread(self._lists[family], 4096, 0).decode().split() if family in self._lists else []

    def _there(self, work: Callable[[], T]) -> T:
        return work() if self._namespace is None else run_in_namespace(Path(f"/proc/self/fd/{self._namespace}"), work)


def _opener(layout: _Layout) -> Callable[[], socket.socket]:
    return lambda: socket.socket(layout.domain, socket.SOCK_RAW, socket.IPPROTO_RAW)


def _entries(asking: socket.socket, layout: _Layout, name: bytes) -> bytearray:
    """Return the entries of a table."""
    while True:
        *_, size = _INFO.unpack(_asked(asking, layout, _GET_INFO, _INFO.pack(name, *[0] * 13)))
        with suppress(BlockingIOError):  # the table changed between the two calls
            return _asked(asking, layout, _GET_ENTRIES, _ASKED.pack(name, size) + bytes(size))[_ASKED.size :]


def _asked(asking: socket.socket, layout: _Layout, option: int, question: bytes) -> bytearray:
    """Call getsockopt(2) with an input value, which Python's socket module does not support."""
    answer = bytearray(question)
    buffer = (ctypes.c_char * len(answer)).from_buffer(answer)
    length = ctypes.c_uint32(len(answer))
    if LIBC.getsockopt(asking.fileno(), layout.level, option, buffer, ctypes.byref(length)):
        raise last_error()
    return answer
