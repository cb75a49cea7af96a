"""Matches on connection tracking data: conntrack, state, connmark, helper.

`OPTIONS` and `GROUPS` map options and modules to definitions (`MatchOption`, `MatchGroup`), which the engines of the
simulator evaluate. The checks use `Packet.state` and `Packet.connection`, and return None if these do not determine the
result.

Source: iptables-extensions(8); ``conntrack_mt`` of the kernel's xt_conntrack, ``connmark_mt`` of xt_connmark,
``helper_mt`` of xt_helper.
"""

from collections.abc import Callable, Mapping
from ipaddress import ip_address

from engine.rulesets.canonical.numbers import port_range
from engine.rulesets.model import Family, Match
from simulator.matches.base import (
    CompiledMatch,
    ConditionContext,
    MatchGroup,
    MatchOption,
    OptionGroup,
    PacketCheck,
    Scope,
    Truth,
    bare,
    one,
    spelled,
    without_sets,
)
from simulator.matches.basic import masked, networks
from simulator.matches.breakpoints import NO_RANGES, Breakpoints, anywhere
from simulator.matches.fields import mark_and_mask
from simulator.matches.formula import MORE_THAN_THE_PACKET, And, Formula, Not, state_condition
from simulator.matches.transport import port_spans
from simulator.packets import Connection, ConnectionTuple, ConnState, Packet, protocol_names

_TRANSLATED = frozenset({"SNAT", "DNAT"})
_WITHOUT = frozenset({ConnState.INVALID, ConnState.UNTRACKED})
_STATUS = frozenset({"EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"})

KnownConnection = Connection | None

ConnectionCheck = Callable[[Connection], Truth]
"""Check of a connection."""

AskReader = Callable[[str, Family], ConnectionCheck]


def connection_of(packet: Packet) -> KnownConnection:
    """Return a packet's connection: the given one, or the one that a first packet opens; None if unknown."""
    if packet.connection is not None:
        return packet.connection
    if packet.state is not ConnState.NEW:
        return None
    own = _own_tuple(packet)
    return own and Connection(own, (own[0], own[2], own[1], own[4], own[3]))


def _own_tuple(packet: Packet) -> ConnectionTuple | None:
    if packet.protocol in protocol_names.PORT_PROTOCOLS:
        if packet.sport is None or packet.dport is None:
            return None
        return (packet.protocol, packet.src, packet.dst, packet.sport, packet.dport)
    return (packet.protocol, packet.src, packet.dst, 0, 0)


def _states(match: Match) -> PacketCheck:
    """Return the check for states; ``SNAT`` and ``DNAT`` depend on the connection, not on the packet alone."""
    words = frozenset(one(match.values).upper().split(","))
    states, rewritten = frozenset(ConnState(word) for word in words - _TRANSLATED), words & _TRANSLATED

    def check(packet: Packet) -> Truth:
        if packet.state in states:
            return True
        if not rewritten or packet.state in _WITHOUT:
            return False
        return None if packet.connection is None else bool(packet.connection.rewritten & rewritten)

    return check


def _state_group(group: OptionGroup, _family: Family) -> CompiledMatch:
    (match,) = group
    states = _states(match)
    check: PacketCheck = (
        (lambda packet: None if (held := states(packet)) is None else not held) if match.negated else states
    )
    return CompiledMatch(
        spelled(match), check, "needs the connection's address translation, which the packet does not give"
    )


def _state_conditions(group: OptionGroup, _context: ConditionContext) -> Formula:
    """Return the condition on the state; all other parts depend on the connection and are free."""
    parts: list[Formula] = []
    for match in group:
        words = frozenset(one(match.values).upper().split(",") if match.values else ())
        if match.option in {"ctstate", "state"} and not _TRANSLATED & words:
            found: Formula = state_condition(*(ConnState(word) for word in words))
            parts.append(Not(found) if match.negated else found)
        elif match.option:
            parts.append(MORE_THAN_THE_PACKET.free(spelled(match)))
    return And(tuple(parts))


def _conntrack_group(group: OptionGroup, family: Family) -> CompiledMatch:
    """Return the check of a conntrack match.

    A packet without a connection fails, unless its state is asked for too: then only the state counts.
    """
    states = [match for match in group if match.option in {"ctstate", "state"}]
    asked = [(match.negated, _asks(match, family)) for match in group if match not in states]
    if len(states) == len(group) == 1:
        return _state_group(group, family)
    state_test = _state_group((states[0],), family).check if states else None

    def check(packet: Packet) -> Truth:
        held = state_test(packet) if state_test else True
        if held is False:
            return False
        if packet.state in _WITHOUT:
            return bool(states)
        known = connection_of(packet)
        truths = [held, *(None if known is None else _turned(ask(known), negated) for negated, ask in asked)]
        return False if False in truths else None if None in truths else True

    return CompiledMatch(spelled(*group), check, "needs the packet's connection, which it does not give")


def _turned(truth: Truth, negated: bool) -> Truth:  # noqa: FBT001 - has the same type as the result it negates
    return None if truth is None else truth is not negated


def _asks(match: Match, family: Family) -> ConnectionCheck:
    return _ASKS[match.option][0](one(match.values), family) if match.option in _ASKS else _unknown(match)


def _unknown(match: Match) -> ConnectionCheck:
    if match.option != "ctexpire":
        raise ValueError(match.option)
    return lambda _connection: None


def _address(which: Callable[[Connection], ConnectionTuple], place: int) -> AskReader:
    def read(text: str, family: Family) -> ConnectionCheck:
        address, mask = masked(text, family)
        return lambda connection: int(ip_address(which(connection)[place])) & mask == address

    return read


def _port(which: Callable[[Connection], ConnectionTuple], *, source: bool) -> AskReader:
    def read(text: str, _family: Family) -> ConnectionCheck:
        low, high = port_range(text)

        def ask(connection: Connection) -> Truth:
            *_, first, second = which(connection)
            return low <= (first if source else second) <= high

        return ask

    return read


def _protocol(text: str, _family: Family) -> ConnectionCheck:
    number = protocol_names.protocol_number(text)
    return lambda connection: connection.original[0] == number


def _status(text: str, _family: Family) -> ConnectionCheck:
    """Return the check for status bits; ``NONE`` names no bit, so alone it never matches."""
    wanted = frozenset(text.upper().split(",")) - {"NONE"}
    if not wanted <= _STATUS:
        raise ValueError(text)
    return lambda connection: bool(wanted & connection.status)


def _direction(text: str, _family: Family) -> ConnectionCheck:
    replying = {"ORIGINAL": False, "REPLY": True}.get(text.upper())
    if replying is None:
        raise ValueError(text)
    return lambda connection: connection.replying is replying


def _original(connection: Connection) -> ConnectionTuple:
    return connection.original


def _reply(connection: Connection) -> ConnectionTuple:
    return connection.reply


_ASKS: Mapping[str, tuple[AskReader, Breakpoints]] = {
    "ctproto": (_protocol, anywhere),
    "ctorigsrc": (_address(_original, 1), networks),
    "ctorigdst": (_address(_original, 2), networks),
    "ctreplsrc": (_address(_reply, 1), networks),
    "ctrepldst": (_address(_reply, 2), networks),
    "ctorigsrcport": (_port(_original, source=True), port_spans),
    "ctorigdstport": (_port(_original, source=False), port_spans),
    "ctreplsrcport": (_port(_reply, source=True), port_spans),
    "ctrepldstport": (_port(_reply, source=False), port_spans),
    "ctstatus": (_status, anywhere),
    "ctdir": (_direction, anywhere),
}
"""Option -> check of a connection and breakpoints; all except the state are free conditions."""


def _connmark(values: tuple[str, ...], _family: Family) -> PacketCheck:
    """Return the check for the connection mark; a connection that a first packet opens has mark 0."""
    mark, mask = mark_and_mask(one(values))

    def check(packet: Packet) -> Truth:
        known = connection_of(packet)
        return None if known is None else known.mark & mask == mark

    return check


def _helper(values: tuple[str, ...], _family: Family) -> PacketCheck:
    """Return the check that a helper expected the connection.

    No helper is modelled: the check is false for new packets and given connections, else unknown.
    """
    one(values)
    return lambda packet: False if packet.connection is not None or packet.state in _NEVER_EXPECTED else None


_NEVER_EXPECTED = frozenset({ConnState.NEW, *_WITHOUT})

GROUPS: Mapping[str, MatchGroup] = {
    "conntrack": MatchGroup(
        evaluate=without_sets(_conntrack_group),
        breakpoints={
            **{option: breakpoints for option, (_, breakpoints) in _ASKS.items()},
            **dict.fromkeys(("ctstate", "state"), anywhere),
        },
        condition=_state_conditions,
    ),
    "state": MatchGroup(
        evaluate=without_sets(_state_group), breakpoints={"state": anywhere}, condition=_state_conditions
    ),
}

OPTIONS: Mapping[tuple[str, str], MatchOption] = {
    ("helper", ""): bare(),
    ("helper", "helper"): MatchOption(
        evaluate=_helper,
        breakpoints=NO_RANGES,
        condition=MORE_THAN_THE_PACKET,
        needs="the connection that a helper has expected it in",
    ),
    ("connmark", ""): bare(),
    ("connmark", "mark"): MatchOption(
        evaluate=_connmark,
        breakpoints=anywhere,
        condition=MORE_THAN_THE_PACKET,
        scope=Scope(lambda packet: packet.state not in _WITHOUT),
        needs="the connection, which has the mark",
    ),
}
