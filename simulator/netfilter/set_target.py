"""SET target: adds packets to ipsets, deletes them, and copies a member's mark to the packet.

Input: the target with its options. Output: a `TargetEffect` with the function that changes the sets and the packet. If
the options are not understood, the effect only names an assumption.

Source: iptables-extensions(8) and the kernel's xt_set.
"""

from collections.abc import Mapping
from dataclasses import replace

from engine.rulesets.model import Family, Match, Target
from simulator.matches.fields import MARK_BITS
from simulator.matches.set_match import sides_of
from simulator.netfilter.effects import FieldWrite, TargetAction, TargetContext, TargetEffect
from simulator.packets import Packet, protocol_names
from simulator.sets import SetLookup, SetLookupContext, delete, insert, test

_MOST = (2**32 - 1) // 1000
"""Longest timeout in seconds, because the kernel counts milliseconds."""

_SETS = "changes sets, which count as unknown where rules change them"

SetTargetOptions = Mapping[str, Match]


def set_effect(target: Target, family: Family) -> TargetEffect:
    """Return what a SET rule does to its sets, and, with ``--map-set``, to the packet."""
    options = {option.option: option for option in target.options}
    try:
        adds, deletes, maps = (_asked(options, f"{verb}-set", family) for verb in ("add", "del", "map"))
        timeout = _timeout(options)
    except ValueError:
        return TargetEffect(
            TargetAction.NEXT, assumption="target SET is not understood; assumed to go on with the next rule"
        )
    exist, marks = "exist" in options, "map-mark" in options

    def change(packet: Packet, scene: TargetContext) -> Packet:
        memory, sets = scene.around.memory, scene.sets
        visit = SetLookupContext(packet, memory.elapsed(packet.time), scene.assume)
        if adds is not None and insert(sets, adds, visit, memory, timeout, exist=exist) is None:
            scene.assume(f"what goes into set {adds.name} cannot be known; it is assumed to stay as it is")
        if deletes is not None and delete(sets, deletes, visit, memory) is None:
            scene.assume(f"what goes from set {deletes.name} cannot be known; it is assumed to stay as it is")
        return packet if maps is None else _mapped(packet, scene, maps, visit, marks=marks)

    return TargetEffect(TargetAction.NEXT, change, writes=(FieldWrite("mark", None),) if marks else _SETS)


def _asked(options: SetTargetOptions, name: str, family: Family) -> SetLookup | None:
    if name not in options:
        return None
    found, sides = options[name].values
    return SetLookup(found, family, sides_of(sides))


def _timeout(options: SetTargetOptions) -> int | None:
    if "timeout" not in options:
        return None
    return min(_MOST, protocol_names.number(options["timeout"].values[0], 2**32 - 1))


def _mapped(packet: Packet, scene: TargetContext, maps: SetLookup, visit: SetLookupContext, *, marks: bool) -> Packet:
    """Return the packet with the mark of its set member; no rule can match the mapped priority and queue."""
    reply = test(scene.sets, maps, visit, scene.around.memory)
    if reply.held is None:
        scene.assume(f"whether set {maps.name} has the packet cannot be known; its mark is assumed to stay")
    if not (reply.held and marks):
        return packet
    value, mask = reply.mark
    return replace(packet, mark=packet.mark & (MARK_BITS ^ mask) ^ value)
