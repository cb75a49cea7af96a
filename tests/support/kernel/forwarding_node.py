"""Node whose packets are captured on ``lo`` and on the link of every interface."""

import struct
from collections.abc import Iterator
from socket import socket

from adapters.lab.packet_injection import ETH_P_IP, ETH_P_IPV6, GATEWAY_MAC, MARKER, NODE_MAC, InjectionRig, _received


class Forwarder(InjectionRig):
    """Node that forwards between its interfaces."""

    def _passed(self) -> tuple[list[bytes], list[tuple[str, bytes]]]:
        """Wait until the kernel is done; return the packets on ``lo``, and those that left, with the interface."""
        self._marks += 1
        mark = struct.pack("!6s6sHQ", NODE_MAC, GATEWAY_MAC, MARKER, self._marks)
        for name in self.interfaces:
            self._wires[name].send(mark)
            list(_packets_until(self._doors[name], mark))
        # Addressed to the zero address of lo, else the network stack would ignore it as foreign.
        lo_mark = bytes(6) + mark[6:]
        self._loop.send(lo_mark)
        looped = list(_packets_until(self._loop, lo_mark))
        for name in self.interfaces:
            self._doors[name].send(mark)
        return looped, [(name, data) for name in self.interfaces for data in _packets_until(self._wires[name], mark)]


def _packets_until(tap: socket, mark: bytes) -> Iterator[bytes]:
    """Yield the IP packets that a tap received before the marker."""
    while (frame := _received(tap)) != mark:
        if int.from_bytes(frame[12:14]) in {ETH_P_IP, ETH_P_IPV6}:
            yield frame[14:]
