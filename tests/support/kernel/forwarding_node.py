"""A node whose packets are seen wherever they pass: on ``lo``, and on the wire of every interface."""

import struct
from collections.abc import Iterator
from socket import socket

from adapters.lab.packet_injection import ETH_P_IP, ETH_P_IPV6, GATEWAY_MAC, MARKER, NODE_MAC, InjectionRig, _received


class Forwarder(InjectionRig):
    """A node that forwards between its interfaces."""

    def _passed(self) -> tuple[list[bytes], list[tuple[str, bytes]]]:
        """Wait until all is done; return the packets that passed ``lo``, and those that left, each by an interface."""
        self._marks += 1
        mark = struct.pack("!6s6sHQ", NODE_MAC, GATEWAY_MAC, MARKER, self._marks)
        for name in self.interfaces:
            self._wires[name].send(mark)
            list(_packets_until(self._doors[name], mark))
        # Addressed to lo's own zero address, else its stack would take it for somebody else's.
        lo_mark = bytes(6) + mark[6:]
        self._loop.send(lo_mark)
        looped = list(_packets_until(self._loop, lo_mark))
        for name in self.interfaces:
            self._doors[name].send(mark)
        return looped, [(name, data) for name in self.interfaces for data in _packets_until(self._wires[name], mark)]


def _packets_until(tap: socket, mark: bytes) -> Iterator[bytes]:
    """Yield the IP packets that a tap saw before the marker."""
    while (frame := _received(tap)) != mark:
        if int.from_bytes(frame[12:14]) in {ETH_P_IP, ETH_P_IPV6}:
            yield frame[14:]
