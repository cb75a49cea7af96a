"""Reads the packets that a user gives as text or as a capture file, for simulate, replay and other commands.

Input: the values of ``--packet`` (SPEC words, such as ``src=10.0.0.1 proto=tcp dport=22``) or of ``--pcap``. Output: an
iterator of :class:`Packet`; with ``--split``, also one capture file for each verdict.

Raises ``Refused`` if both or neither are given, for a bad SPEC, or for a capture that cannot be read or written.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from engine.errors import Fault, Refused
from simulator.netfilter import Evaluation, Verdict
from simulator.packets import Packet, Skipped, parse_spec, pcap_writer, read_pcap


@dataclass(frozen=True, slots=True)
class PacketOptions:
    """Values of the packet options; the command line reference describes each."""

    specs: tuple[str, ...] = ()
    pcap: str | None = None
    in_interface: str = ""
    out_interface: str = ""
    stateless: bool = False
    split: str | None = None

    def packets(self) -> Iterator[Packet]:
        """Return the packets of the SPECs or of the capture.

        Raises:
            Refused: both or neither are given, a SPEC is bad (with the faults of all), or the capture cannot be read.
        """
        if bool(self.specs) == bool(self.pcap):
            raise Refused((Fault("", "packets are needed", "one of --packet SPEC and --pcap FILE"),))
        if self.pcap is None:
            if self.split:
                raise Refused((Fault("--split", "packets in words have no bytes", "--pcap FILE with --split"),))
            return iter(parse_specs(self.specs))
        return _captured(self.pcap, self.in_interface, self.out_interface)


def parse_specs(specs: tuple[str, ...]) -> list[Packet]:
    """Return the packets of all SPECs; raise one ``Refused`` with the faults of all."""
    packets: list[Packet] = []
    faults: list[Fault] = []
    for number, spec in enumerate(specs, 1):
        try:
            packets.append(parse_spec(spec, number))
        except Refused as error:
            faults += error.faults
    if faults:
        raise Refused(tuple(faults))
    return packets


def _captured(path: str, in_interface: str, out_interface: str) -> Iterator[Packet]:
    """Yield the packets of a capture; write a line to stderr for each frame that is skipped."""
    for item in read_pcap(Path(path), in_interface=in_interface, out_interface=out_interface):
        if isinstance(item, Skipped):
            click.echo(f"skipped: frame {item.number}: {item.reason}", err=True)
        else:
            yield item


def split_by_verdict(answers: Iterator[Evaluation], folder: str) -> Iterator[Evaluation]:
    """Yield the answers, and write the captured bytes of each packet to ``FOLDER/VERDICT.pcap``.

    Raises:
        Refused: the folder or a capture file cannot be created.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused((Fault("--split", f"{folder}: {error.strerror}", "a folder to write to"),)) from error
    with ExitStack() as stack:
        into = {verdict: stack.enter_context(pcap_writer(Path(folder) / f"{verdict}.pcap")) for verdict in Verdict}
        for answer in answers:
            into[answer.verdict](answer.packet)
            yield answer
