"""Watches nftables rules for changes, by notifications of the kernel (netlink).

Input: a network namespace. Output: the address families whose rules changed since the last call, and a file descriptor
that becomes readable after a change. Rules of iptables-nft are covered, because the kernel stores them as nftables
rules.

The kernel sends no notifications for iptables-legacy rules and for ipset sets. Raises ``OSError`` if the socket cannot
be opened. Sources: netlink(7), include/uapi/linux/netfilter/nfnetlink.h.
"""

import errno
import socket
import struct
from contextlib import suppress
from typing import Self

from adapters.system.netns_sockets import run_in_namespace
from adapters.system.process import namespace_path
from engine.rulesets.model import Family

_NETLINK_NETFILTER = 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_GROUP_NFTABLES = 7
_SUBSYSTEM_NFTABLES = 10
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_FAMILIES = {int(socket.AF_INET): Family.IPV4, int(socket.AF_INET6): Family.IPV6}
_BUFFER = 1 << 16


class NftRuleChanges:
    """Detects changed nftables rules in a network namespace; empty means this process's own."""

    def __init__(self, netns: str = "") -> None:
        self._socket = run_in_namespace(namespace_path(netns), _listening) if netns else _listening()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def descriptor(self) -> int:
        """File descriptor that becomes readable after a change."""
        return self._socket.fileno()

    def families(self) -> frozenset[Family]:
        """Return the families whose rules have changed since the last call."""
        found: set[Family] = set()
        with suppress(BlockingIOError):
            while True:
                try:
                    found |= _families_in(self._socket.recv(_BUFFER))
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
                    found |= set(Family)  # the kernel dropped notifications, so assume changes in all families
        return frozenset(found)


def _listening() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER)
    made.bind((0, 0))
    made.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_NFTABLES)
    return made


def _families_in(data: bytes) -> set[Family]:
    found: set[Family] = set()
    while len(data) > _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        family = data[_HEADER.size]  # the first byte of struct nfgenmsg
        if kind >> 8 == _SUBSYSTEM_NFTABLES and family in _FAMILIES:
            found.add(_FAMILIES[family])
        data = data[max(_HEADER.size, (length + 3) & ~3) :]
    return found
