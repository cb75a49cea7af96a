"""Registry of targets, such as ACCEPT or MARK: the effect of each on a packet and on the evaluation of further rules.

Input: the target of a rule, with its options. Output: a `TargetEffect`, which all engines of the simulator use, or None
for an unknown target. The effect of a target that is not modelled names an assumption.

Source: iptables-extensions(8), TARGET EXTENSIONS.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from engine.rulesets.model import Family, Match, Target
from simulator.matches.connection import connection_of
from simulator.matches.fields import MARK_BITS, dscp_class, mark_and_mask, tos_and_mask
from simulator.netfilter.effects import (
    ANY_DESTINATION,
    NEXT,
    UNTRACKED,
    FieldWrite,
    TargetAction,
    TargetContext,
    TargetEffect,
    destination,
)
from simulator.netfilter.nat import TRANSLATIONS, Translation, range_of
from simulator.netfilter.set_target import set_effect
from simulator.packets import ConnState, Packet, protocol_names, rewritten

TargetOptions = Mapping[str, Match]
TargetReader = Callable[[Target, Family], TargetEffect]
"""Function from a target's words to its effect; ValueError, KeyError or IndexError if they are not understood."""

_REJECT_WITH: Mapping[Family, str] = {
    Family.IPV4: "icmp-port-unreachable",
    Family.IPV6: "icmp6-port-unreachable",
}

_HARMLESS = frozenset(
    "AUDIT CHECKSUM CLASSIFY CONNSECMARK IDLETIMER LED LOG NFLOG SECMARK TCPMSS TCPOPTSTRIP TEE TRACE ULOG".split()
)
"""Targets without an effect on modelled matches, except those on TCP options."""

_UNMODELLED = frozenset(
    "CLUSTERIP DNPT ECN HMARK MIRROR RATEEST SAME SNPT SYNPROXY TARPIT TPROXY FLOWOFFLOAD DELUDE CHAOS ACCOUNT "
    "ECHO IPMARK LOGMARK SYSRQ".split()
)
"""Known targets without a model; any other unknown name is a missing chain."""

WITHOUT_CONNECTION = frozenset({ConnState.INVALID, ConnState.UNTRACKED})


def effect_of(target: Target | None, family: Family) -> TargetEffect | None:
    """Return the effect of a target that is not a chain, or None for an unknown target."""
    if target is None:
        return NEXT
    if target.name in TARGETS:
        try:
            return TARGETS[target.name](target, family)
        except (KeyError, ValueError, IndexError):
            return _untranslated(target) if target.name in TRANSLATIONS else _unmodelled(target, family)
    return _unmodelled(target, family) if target.name in _UNMODELLED or target.options else None


def _options(target: Target) -> TargetOptions:
    return {option.option: option for option in target.options}


def _word(options: TargetOptions, name: str, default: str = "") -> str:
    return options[name].values[0] if name in options else default


def _reject(target: Target, family: Family) -> TargetEffect:
    return TargetEffect(TargetAction.REJECT, reject_with=_word(_options(target), "reject-with", _REJECT_WITH[family]))


# Marks. As in the kernel, every form clears the bits of a mask, then flips the bits of a value.


def _value(option: Match) -> int:
    return protocol_names.number(option.values[0], MARK_BITS)


def _set_mark(option: Match) -> tuple[int, int]:
    value, mask = mark_and_mask(option.values[0])
    return value | mask, value


def _set_xmark(option: Match) -> tuple[int, int]:
    value, mask = mark_and_mask(option.values[0])
    return mask, value


_MARKS: Mapping[str, Callable[[Match], tuple[int, int]]] = {
    "set-mark": _set_mark,
    "set-xmark": _set_xmark,
    "and-mark": lambda option: (MARK_BITS ^ _value(option), 0),
    "or-mark": lambda option: (_value(option), _value(option)),
    "xor-mark": lambda option: (0, _value(option)),
}
"""Option of MARK and CONNMARK -> the bits to clear and the bits to flip."""


def _mark(target: Target, _family: Family) -> TargetEffect:
    (option,) = target.options
    mask, value = _MARKS[option.option](option)
    kept = MARK_BITS ^ mask
    return TargetEffect(
        TargetAction.NEXT,
        lambda packet, _: replace(packet, mark=packet.mark & kept ^ value),
        rewrites="mark",
        writes=(FieldWrite("mark", value, kept),),
    )


def _connmark(target: Target, _family: Family) -> TargetEffect:
    options = _options(target)
    mask = _word(options, "mask", hex(MARK_BITS))
    packet_bits = protocol_names.number(_word(options, "nfmask", mask), MARK_BITS)
    kept_bits = protocol_names.number(_word(options, "ctmask", mask), MARK_BITS)
    if "restore-mark" in options:
        return TargetEffect(
            TargetAction.NEXT,
            lambda packet, scene: _restored(packet, scene, packet_bits, kept_bits),
            writes=(FieldWrite("mark", None),),
        )
    if "save-mark" in options:
        return _connection_mark(lambda packet, mark: mark & (MARK_BITS ^ kept_bits) ^ (packet.mark & packet_bits))
    (option,) = target.options
    cleared, flipped = _MARKS[option.option](option)
    return _connection_mark(lambda _packet, mark: mark & (MARK_BITS ^ cleared) ^ flipped)


def _connection_mark(marked: Callable[[Packet, int], int]) -> TargetEffect:
    def change(packet: Packet, scene: TargetContext) -> Packet:
        known = connection_of(packet)
        if packet.state in WITHOUT_CONNECTION:
            return packet
        if known is None:
            scene.assume("needs the packet's connection, which it does not give; assumed to change nothing")
            return packet
        return replace(packet, connection=replace(known, mark=marked(packet, known.mark)))

    return TargetEffect(
        TargetAction.NEXT, change, writes="changes the connection's mark, which is free wherever it is asked"
    )


def _restored(packet: Packet, scene: TargetContext, packet_bits: int, kept_bits: int) -> Packet:
    known = connection_of(packet)
    if packet.state in WITHOUT_CONNECTION:
        return packet
    if known is None:
        scene.assume("needs the packet's connection, which it does not give; assumed to change nothing")
        return packet
    return replace(packet, mark=packet.mark & (MARK_BITS ^ packet_bits) ^ (known.mark & kept_bits))


# Connection tracking: the first CT or NOTRACK rule of the raw table counts.


def _untracked(packet: Packet, _scene: TargetContext) -> Packet:
    return packet if _is_known(packet) else replace(packet, state=ConnState.UNTRACKED)


_NOTRACK = TargetEffect(TargetAction.NEXT, _untracked, rewrites="state", writes=(UNTRACKED,))


def _ct(target: Target, _family: Family) -> TargetEffect:
    options = _options(target)
    if "notrack" in options:
        return _NOTRACK
    zone = next((protocol_names.number(_word(options, name), 0xFFFF) for name in options if name.startswith("zone")), 0)
    if any(name.startswith("zone-") for name in options):
        raise ValueError(target)  # a zone for one direction only is not modelled
    if "helper" in options:
        return TargetEffect(
            TargetAction.NEXT,
            assumption=f"helper {_word(options, 'helper')} is not modelled; assumed to expect nothing",
        )
    return TargetEffect(
        TargetAction.NEXT,
        lambda packet, _: packet if _is_known(packet) else replace(packet, zone=zone),
        writes="changes the zone, which no match asks",
    )


def _is_known(packet: Packet) -> bool:
    """Return whether a packet already has a connection or a zone, or is untracked, so that a CT rule has no effect."""
    return packet.state is ConnState.UNTRACKED or packet.zone != 0 or packet.connection is not None


# Header fields


def _ttl(target: Target, _family: Family) -> TargetEffect:
    (option,) = target.options
    verb, number = option.option.partition("-")[2], protocol_names.number(option.values[0], 0xFF)
    change = _TTLS[verb]
    return TargetEffect(
        TargetAction.NEXT,
        lambda packet, _: rewritten(packet, ttl=change(packet.ttl, number)),
        rewrites="ttl",
        writes=(FieldWrite("ttl", number if verb == "set" else None),),
    )


_TTLS: Mapping[str, Callable[[int, int], int]] = {
    "set": lambda _ttl, number: number,
    "inc": lambda ttl, number: min(0xFF, ttl + number),
    "dec": lambda ttl, number: max(0, ttl - number),
}


def _tos(target: Target, _family: Family) -> TargetEffect:
    (option,) = target.options
    text = option.values[0]
    if option.option == "set-tos":
        value, mask = tos_and_mask(text)
    else:
        number = protocol_names.number(text, 0xFF)
        value, mask = {"and-tos": (0, 0xFF ^ number), "or-tos": (number, number), "xor-tos": (number, 0)}[option.option]
    return _service(0xFF ^ mask, value)


def _service(kept: int, value: int) -> TargetEffect:
    return TargetEffect(
        TargetAction.NEXT,
        lambda packet, _: rewritten(packet, tos=packet.tos & kept ^ value),
        rewrites="tos",
        writes=(FieldWrite("tos", value, kept),),
    )


def _dscp(target: Target, _family: Family) -> TargetEffect:
    (option,) = target.options
    text = option.values[0]
    value = dscp_class(text) if option.option == "set-dscp-class" else protocol_names.number(text, 0x3F)
    return _service(3, value << 2)


def _queue(target: Target, _family: Family) -> TargetEffect:
    return TargetEffect(
        TargetAction.ACCEPT, assumption=f"{target.name}: the program behind the queue is assumed to accept"
    )


def _unmodelled(target: Target, _family: Family) -> TargetEffect:
    return TargetEffect(
        TargetAction.NEXT, assumption=f"target {target.name} is not modelled; assumed to go on with the next rule"
    )


def _untranslated(target: Target) -> TargetEffect:
    return TargetEffect(
        TargetAction.ACCEPT, assumption=f"{target.name} is not modelled; the packet is assumed to stay as it is"
    )


def _translation(read: Callable[[Target, Family], Translation], writes: tuple[FieldWrite, ...] | str) -> TargetReader:
    def effect(target: Target, family: Family) -> TargetEffect:
        translate = read(target, family)

        def change(packet: Packet, scene: TargetContext) -> Packet:
            return translate(packet, scene.hook, scene.around, scene.assume)

        return TargetEffect(TargetAction.ACCEPT, change, writes=writes)

    return effect


def _dnat(target: Target, family: Family) -> TargetEffect:
    wanted = range_of(_word(_options(target), "to-destination"), family)
    low, high = wanted.addresses or (None, None)
    addresses = None if low is None or high is None else (int(low), int(high))
    return replace(_TRANSLATED["DNAT"](target, family), writes=destination(addresses, wanted.ports))


_SOURCE = "changes the source behind the last rule"
_TRANSLATED: Mapping[str, TargetReader] = {
    name: _translation(read, _SOURCE if name in {"SNAT", "MASQUERADE"} else ANY_DESTINATION)
    for name, read in TRANSLATIONS.items()
}


def _always(effect: TargetEffect) -> TargetReader:
    return lambda _target, _family: effect


TARGETS: Mapping[str, TargetReader] = {
    "ACCEPT": _always(TargetEffect(TargetAction.ACCEPT)),
    "DROP": _always(TargetEffect(TargetAction.DROP)),
    "RETURN": _always(TargetEffect(TargetAction.RETURN)),
    "REJECT": _reject,
    "MARK": _mark,
    "CONNMARK": _connmark,
    "NOTRACK": _always(_NOTRACK),
    "CT": _ct,
    "TTL": _ttl,
    "HL": _ttl,
    "TOS": _tos,
    "DSCP": _dscp,
    "QUEUE": _queue,
    "NFQUEUE": _queue,
    **dict.fromkeys(_HARMLESS, _always(NEXT)),
    **_TRANSLATED,
    "DNAT": _dnat,
    "SET": set_effect,
}
