"""Matches on transport header options: TCP options, tcpmss, SCTP chunks, dccp, esp.

`OPTIONS` maps each option to its definition (`MatchOption`), which the engines of the simulator evaluate. The checks
read the packet's bytes. If these are unknown, the checks assume headers without options and no payload.

Sources: iptables-extensions(8); ``tcp_find_option``, ``match_packet`` of xt_sctp, xt_tcpmss, xt_esp.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from engine.rulesets.model import Family
from simulator.matches.base import CheckReader, MatchOption, PacketCheck, Scope, Truth, bare, beyond, one, speaks
from simulator.matches.breakpoints import READS_BYTES
from simulator.matches.formula import MORE_THAN_THE_PACKET, ON_THE_WIRE, Undecided
from simulator.packets import HeaderLayout, Packet, bytes_of, layout, protocol_names

AH, ESP = 51, 50

NO_PAYLOAD = "reads bytes that the packet does not give; taken as headers without options, and no payload"

CHUNKS: Mapping[str, int] = {
    "DATA": 0,
    "INIT": 1,
    "INIT_ACK": 2,
    "SACK": 3,
    "HEARTBEAT": 4,
    "HEARTBEAT_ACK": 5,
    "ABORT": 6,
    "SHUTDOWN": 7,
    "SHUTDOWN_ACK": 8,
    "ERROR": 9,
    "COOKIE_ECHO": 10,
    "COOKIE_ACK": 11,
    "ECN_ECNE": 12,
    "ECN_CWR": 13,
    "SHUTDOWN_COMPLETE": 14,
    "I_DATA": 64,
    "RE_CONFIG": 130,
    "PAD": 132,
    "ASCONF": 193,
    "ASCONF_ACK": 128,
    "FORWARD_TSN": 192,
    "I_FORWARD_TSN": 194,
}
"""Chunk types by the names that iptables uses."""

_CHUNK_FLAGS: Mapping[int, str] = {0: "------UBE"[-8:], 6: "-------T", 14: "-------T"}
"""Letters for the bits of a chunk's flags, the highest bit first."""

_DCCP_TYPES = "REQUEST RESPONSE DATA ACK DATAACK CLOSEREQ CLOSE RESET SYNC SYNCACK INVALID".split()


def number_range(text: str, highest: int) -> tuple[int, int]:
    """Parse ``N``, ``LOW:HIGH``, ``:HIGH`` or ``LOW:``.

    Raises:
        ValueError: the text has another form.
    """
    low, colon, high = text.partition(":")
    least = protocol_names.number(low or "0", highest)
    return (least, protocol_names.number(high, highest) if high else highest) if colon else (least, least)


def found_in(packet: Packet) -> HeaderLayout | None:
    """Return the offsets of a packet's headers, or None if its bytes are unknown."""
    data = bytes_of(packet)
    return None if data is None else layout(data)


def _tcp_options(packet: Packet) -> Iterator[tuple[int, bytes]]:
    """Yield each TCP option as its kind and value."""
    found = found_in(packet)
    header = found.payload(20) if found else None
    whole = found.payload((header[12] >> 4) * 4) if found and header else None
    data, at = whole[20:] if whole else b"", 0
    while at < len(data):
        size = data[at + 1] if data[at] > 1 and at + 1 < len(data) else 1
        yield data[at], data[at + 2 : at + size]
        at += max(size, 1)


def _tcp_option(values: tuple[str, ...], _family: Family) -> PacketCheck:
    wanted = protocol_names.number(one(values), 0xFF)
    return lambda packet: any(kind == wanted for kind, _ in _tcp_options(packet))


def _mss(values: tuple[str, ...], _family: Family) -> PacketCheck:
    low, high = number_range(one(values), 0xFFFF)

    def check(packet: Packet) -> Truth:
        given = (int.from_bytes(value) for kind, value in _tcp_options(packet) if kind == 2 and len(value) == 2)
        size = next(given, None)
        return size is not None and low <= size <= high

    return check


def _chunk_types(values: tuple[str, ...], _family: Family) -> PacketCheck:
    how, text = values
    wanted = {kind: flags for word in _chunk_words(text) for kind, flags in (_chunk(word),)}
    if how not in {"all", "any", "only"}:
        raise ValueError(how)

    def check(packet: Packet) -> Truth:
        fitting = (
            (kind, kind in wanted and flags & wanted[kind][0] == wanted[kind][1]) for kind, flags in _chunks(packet)
        )
        try:
            if how == "any":
                return any(fits for _, fits in fitting)
            if how == "only":
                return all(fits for _, fits in fitting)
            return set(wanted) <= {kind for kind, fits in fitting if fits}
        except _CutError:
            return beyond(packet)

    return check


def _chunk_words(text: str) -> list[str]:
    everything = {"ALL": list(CHUNKS), "NONE": []}
    return everything.get(text.upper(), text.split(","))


def _chunk(text: str) -> tuple[int, tuple[int, int]]:
    """Parse a chunk type and its flags: a capital letter must be set, a small letter must not.

    Returns the type with the mask of examined flags and the flags that must be set.
    """
    name, _, letters = text.partition(":")
    kind = CHUNKS.get(name.upper())
    if kind is None:
        raise ValueError(text)
    places = _CHUNK_FLAGS.get(kind, "--------")
    bits = {letter: 0x80 >> places.upper().index(letter.upper()) for letter in letters if letter.upper() in places}
    if set(letters) - set(bits):
        raise ValueError(text)
    return kind, (sum(bits.values()), sum(bit for letter, bit in bits.items() if letter.isupper()))


class _CutError(Exception):
    """Raised for a chunk that is truncated or has no length."""


def _chunks(packet: Packet) -> Iterator[tuple[int, int]]:
    """Yield the chunks as type and flags; raise ``_CutError`` at a truncated chunk, after the complete ones."""
    found = found_in(packet)
    data = found.data[found.transport + 12 :] if found and found.transport is not None else b""
    at = 0
    while at == 0 or at < len(data):
        size = int.from_bytes(data[at + 2 : at + 4])
        if at + 4 > len(data) or not size:
            raise _CutError
        yield data[at], data[at + 1]
        at += (size + 3) // 4 * 4


def _dccp_types(values: tuple[str, ...], _family: Family) -> PacketCheck:
    wanted = {_DCCP_TYPES.index(word) for word in one(values).upper().split(",")}

    def check(packet: Packet) -> Truth:
        found = found_in(packet)
        header = found.payload(12) if found else None
        return beyond(packet) if header is None else header[8] >> 1 & 0xF in wanted

    return check


def _first_word(at: int, size: int, highest: int) -> CheckReader:
    """Return a reader of the check that a number in the transport header is in a range.

    A truncated header drops the packet, or gives None if its bytes are unknown, even if the match is inverted.
    """

    def read(values: tuple[str, ...], _family: Family) -> PacketCheck:
        low, high = number_range(one(values), highest)

        def check(packet: Packet) -> Truth:
            found = found_in(packet)
            header = found.payload(at + size) if found else None
            return beyond(packet) if header is None else low <= int.from_bytes(header[at:]) <= high

        return check

    return read


def deeper(
    evaluate: CheckReader, scope: Scope, needs: str = "", made_up: str = NO_PAYLOAD, why: Undecided = ON_THE_WIRE
) -> MatchOption:
    """Return the definition of a match on bytes that no field holds."""
    return MatchOption(
        evaluate=evaluate, breakpoints=READS_BYTES, condition=why, scope=scope, needs=needs, made_up=made_up
    )


_TCP, _ESP = speaks(protocol_names.TCP), speaks(ESP)

OPTIONS: Mapping[tuple[str, str], MatchOption] = {
    ("tcp", "tcp-option"): deeper(_tcp_option, _TCP),
    ("tcpmss", ""): bare(_TCP),
    ("tcpmss", "mss"): deeper(_mss, _TCP, why=MORE_THAN_THE_PACKET),
    ("sctp", "chunk-types"): replace(
        deeper(_chunk_types, speaks(protocol_names.SCTP), "whole SCTP chunks", made_up=""), drops=True
    ),
    ("dccp", "dccp-types"): deeper(_dccp_types, speaks(protocol_names.DCCP), "a DCCP header"),
    ("esp", ""): bare(_ESP),
    ("esp", "espspi"): deeper(_first_word(0, 4, 0xFFFFFFFF), _ESP, "an ESP header"),
}
