"""What an evaluator is: a reader of a match's words, and where the match applies at all."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.rulesets.model import Family, Match
from simulator.context import PacketContext
from simulator.packets import Packet

Truth = bool | None
"""Whether a match holds; None where that cannot be known from the packet."""

PacketCheck = Callable[[Packet], Truth]
ContextCheck = Callable[[Packet, PacketContext], Truth]
"""A check that needs more than the packet: the node's addresses and routes, or what rules remember."""

Applicability = Callable[[Packet], bool]
CheckReader = Callable[[tuple[str, ...], Family], PacketCheck]
"""From a match's values to its check; ValueError where the values are not understood."""

MatchGroup = tuple[Match, ...]
"""The options of one ``-m``."""

UNMODELLED = "is not modelled"


@dataclass(frozen=True, slots=True)
class MatchEvaluator:
    """How one option is evaluated.

    Where ``applies`` is false the match fails even when negated: ``! --dport 22`` is still about TCP. ``needs``
    names what the packet lacks when the check returns None; ``made_up`` is assumed where the packet's bytes are not
    known. ``drops`` says that the check may find that the packet ends too soon.
    """

    read: CheckReader
    applies: Applicability | None = None
    needs: str = ""
    made_up: str = ""
    drops: bool = False


@dataclass(frozen=True, slots=True)
class CompiledMatch:
    """One match made ready: its text as iptables prints it, its check, and why the check may return None.

    ``weigh`` stands in for the check where that is not None. ``assumed`` is what an answer relies on, ``made_up`` what
    it relies on where the packet's bytes are not known. ``still`` says that to weigh it changes nothing that rules
    remember, ``drops`` that it may find that the packet ends too soon. ``matches`` are the options it was made of.
    """

    text: str
    check: PacketCheck
    why: str
    weigh: ContextCheck | None = None
    assumed: str = ""
    made_up: str = ""
    still: bool = False
    drops: bool = False
    matches: MatchGroup = ()

    @property
    def plain(self) -> bool:
        """Whether it is its check alone, on which nothing has to be said where that is known."""
        return self.weigh is None and not (self.assumed or self.made_up or self.drops)


class MalformedError(Exception):
    """The kernel drops the packet, as it ends inside what a match reads (``hotdrop``)."""


def beyond(packet: Packet) -> Truth:
    """Return None for what lies beyond the bytes that are known of a packet.

    Raises:
        MalformedError: all of them are.
    """
    if packet.wire is None or len(packet.wire) < (packet.length or 0):
        return None
    raise MalformedError


def unknown(_packet: Packet) -> Truth:
    """Tell nothing."""
    return None


def opaque(*matches: Match, why: str = UNMODELLED) -> CompiledMatch:
    """Return the test of a match that cannot be decided."""
    return CompiledMatch(spelled(*matches), unknown, why)


def weighed(
    group: MatchGroup, weigh: ContextCheck, why: str = "", assumed: str = "", *, still: bool = False
) -> CompiledMatch:
    """Return the test of a match that needs more than the packet."""
    return CompiledMatch(spelled(*group), unknown, why, weigh, assumed, still=still)


def inverted(check: PacketCheck) -> PacketCheck:
    """Return the opposite check; what is not known stays so."""
    return lambda packet: None if (held := check(packet)) is None else not held


def guarded(check: PacketCheck, applies: Applicability | None) -> PacketCheck:
    """Return a check that fails where the match does not apply."""
    return check if applies is None else lambda packet: applies(packet) and check(packet)


def option(group: MatchGroup, name: str) -> Match | None:
    """Return the option of a group by its name."""
    return next((match for match in group if match.option == name), None)


def value(group: MatchGroup, name: str, default: str) -> str:
    """Return the only value of an option.

    Raises:
        ValueError: it has none, or more than one.
    """
    found = option(group, name)
    return default if found is None else one(found.values)


def spelled(*matches: Match) -> str:
    """Return matches of one module as iptables prints them; the module once."""
    words = ["-m", matches[0].module] if matches[0].module else []
    for match in matches:
        words += ["!"] if match.negated else []
        words += [f"--{match.option}"] if match.option else []
        words += match.values
    return " ".join(words)


def one(values: tuple[str, ...]) -> str:
    """Return the only value.

    Raises:
        ValueError: there is none, or more than one.
    """
    (found,) = values
    return found


def holds(_packet: Packet) -> Truth:
    """Hold for every packet."""
    return True


def always(_values: tuple[str, ...], _family: Family) -> PacketCheck:
    """Read nothing, and hold for every packet."""
    return holds
