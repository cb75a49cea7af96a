"""Reads from the kernel which rules of iptables-nft a packet matched, as ``xtables-monitor --trace`` does.

The tool queries each rule again, falls behind, and exits at rules that it cannot print. So this module reads the events
from their netlink group. Sources: linux/netfilter/nf_tables.h, linux/netlink.h.
"""

import re
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from socket import AF_INET, AF_INET6, AF_NETLINK, SOCK_RAW, SOL_SOCKET, socket

from adapters.lab.packet_injection import NETLINK_NETFILTER, SO_RCVBUFFORCE
from adapters.system.netns_sockets import opened
from adapters.system.process import namespace_path
from engine.rulesets.model import Family

SOL_NETLINK, ADD_MEMBERSHIP, TRACE_GROUP = 270, 1, 9
GET_RULE, NEW_RULE, TRACE = 0x0A07, 0x0A06, 0x0A11
DONE = 3
FAMILIES = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}

Step = tuple[str, str]
"""Table and comment of a matched rule."""

_NAME = re.compile(rb"[\0-\x0f](r\d+)\0")
"""Comment in the bytes of a rule: user data after its length, or a match."""


@dataclass(slots=True)
class Traces:
    """Reader of the rules that packets of a network namespace matched, for one address family at a time."""

    netns: str
    number_of: Callable[[bytes], int]
    _names: dict[tuple[bytes, bytes], Step] = field(default_factory=dict)
    _source: socket = field(init=False)

    def __post_init__(self) -> None:
        self._source = opened(namespace_path(self.netns), AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)
        self._source.setsockopt(SOL_SOCKET, SO_RCVBUFFORCE, 1 << 28)  # some KB for each matched rule
        self._source.bind((0, 0))  # an unbound socket receives nothing
        self._source.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, TRACE_GROUP)

    def close(self) -> None:
        """Close the netlink socket."""
        self._source.close()

    def learn(self, family: Family) -> None:
        """Read the current rules, and remember their comments."""
        self._names.clear()
        with opened(namespace_path(self.netns), AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) as asking:
            asking.settimeout(5)
            # nlmsghdr: length, type, flags (request, dump), sequence, port; nfgenmsg: family, version, id
            asking.send(struct.pack("=IHHIIBBH", 20, GET_RULE, 0x301, 1, 0, FAMILIES[family], 0, 0))
            kind = NEW_RULE
            while kind != DONE:
                for kind, attributes in _messages(asking.recv(1 << 17)):
                    found = _NAME.search(attributes.get(4, b"") + attributes.get(7, b""))
                    if kind == NEW_RULE and found:
                        table = attributes[1]
                        self._names[table, attributes[3]] = (table.rstrip(b"\0").decode(), found[1].decode())

    def read(self) -> Mapping[int, list[Step]]:
        """Return the rules that were matched since the last call, by packet number."""
        paths: dict[int, list[Step]] = defaultdict(list)
        numbers: dict[bytes, int] = {}
        with suppress(BlockingIOError):  # no more events
            while True:
                for kind, told in _messages(self._source.recv(1 << 17)):
                    if kind != TRACE:
                        continue
                    if 8 in told:  # the first event of a base chain has the packet's header
                        numbers[told[6]] = self.number_of(told[8])
                    if told[4] == b"\0\0\0\3" and 3 in told:  # a rule matched; the end of a chain has no rule
                        paths[numbers[told[6]]].append(self._names[told[1], told[3]])
        return paths


def _messages(data: bytes) -> Iterator[tuple[int, Mapping[int, bytes]]]:
    """Yield the type of each message, and its attributes by number."""
    at = 0
    while at + 16 <= len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        yield kind, dict(_attributes(data[at + 20 : at + size]))
        at += size + 3 & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if size < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + size]
        at += size + 3 & ~3
