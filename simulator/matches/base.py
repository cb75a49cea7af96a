"""Base types for iptables matches: each match is defined once, for all three engines of the simulator.

A definition has a check of one packet (for the walker), breakpoints, which are the field values where its result may
change (for the batch engine), and a `Formula` (for the symbolic engine). Where one of the last two is missing, the
definition gives the reason.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.rulesets.model import Family, Match
from simulator.context import PacketContext
from simulator.matches.breakpoints import NO_RANGES, Breakpoints
from simulator.matches.formula import TRUE, Formula, Undecided, whole
from simulator.packets import Packet
from simulator.sets import SetRegistry

Truth = bool | None
"""Whether a match holds; None where that cannot be known from the packet."""

PacketCheck = Callable[[Packet], Truth]
ContextCheck = Callable[[Packet, PacketContext], Truth]
"""A check that needs more than the packet: the node's addresses and routes, or what rules remember."""

Applicability = Callable[[Packet], bool]
CheckReader = Callable[[tuple[str, ...], Family], PacketCheck]
"""From a match's values to its check; ValueError where the values are not understood."""

OptionGroup = tuple[Match, ...]
"""The options of one ``-m``."""

UNMODELLED = "is not modelled"
UNKNOWN_NAME = "names a protocol or service that is not known here (write its number)"
_NAMED = frozenset({"protocol", "ctproto", "sport", "dport", "sports", "dports", "ports"})


@dataclass(frozen=True, slots=True)
class Scope:
    """Packets that a match applies to; it fails for others even when negated: ``! --dport 22`` is still about TCP.

    ``check`` of None always holds. ``condition`` says the same of all packets; None where fields do not decide.
    """

    check: Applicability | None = None
    condition: Formula | None = None


EVERYWHERE = Scope(None, TRUE)

Condition = Callable[[tuple[str, ...], Family], Formula]
"""From a match's values to its condition; ValueError, KeyError or IndexError where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOption:
    """One option that is evaluated by itself.

    A text in place of ``breakpoints`` says why there are none, an `Undecided` in place of ``condition`` why it may hold
    or not. ``needs`` names what the packet lacks when the check returns None; ``made_up`` is assumed where the packet's
    bytes are not known. ``drops`` says that the check may find that the packet ends too soon.
    """

    evaluate: CheckReader
    breakpoints: Breakpoints | str
    condition: Condition | Undecided
    scope: Scope = EVERYWHERE
    needs: str = ""
    made_up: str = ""
    drops: bool = False


Membership = Callable[[str, Sequence[bool], bool], Formula]
"""The condition that a packet is in a set: by its name, the sides that are looked up, and whether as an exception.

KeyError or ValueError where there is none.
"""


@dataclass(frozen=True, slots=True)
class ConditionContext:
    """What conditions refer to: the family, and what is in sets."""

    family: Family
    membership: Membership


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchGroup:
    """A module whose options are evaluated together.

    ``breakpoints`` are those of each option, or the reason why there are none. ``per_rule`` says that a match looks
    into sets of its ruleset, or remembers something for its rule, so that no two rules share one.
    """

    evaluate: Callable[[OptionGroup, Family, SetRegistry], "CompiledMatch"]
    breakpoints: Mapping[str, Breakpoints] | str
    condition: Callable[[OptionGroup, ConditionContext], Formula] | Undecided
    per_rule: bool = False


def without_sets(
    evaluate: "Callable[[OptionGroup, Family], CompiledMatch]",
) -> "Callable[[OptionGroup, Family, SetRegistry], CompiledMatch]":
    """Return the evaluation of a module that looks into no sets."""
    return lambda group, family, _sets: evaluate(group, family)


@dataclass(frozen=True, slots=True)
class CompiledMatch:
    """One match of a rule.

    Attributes:
        text: The match as iptables prints it.
        check: Decides from the packet alone.
        why: Reason when the check returns None.
        weigh: Replaces the check if it is not None; it needs the packet's context.
        assumed: Assumption that the result relies on.
        made_up: Assumption if the packet's bytes are not known.
        still: Whether ``weigh`` leaves the rule memory unchanged.
        drops: Whether the check may find that the packet ends too early.
        matches: The options of the match.
    """

    text: str
    check: PacketCheck
    why: str
    weigh: ContextCheck | None = None
    assumed: str = ""
    made_up: str = ""
    still: bool = False
    drops: bool = False
    matches: OptionGroup = ()

    @property
    def plain(self) -> bool:
        """Whether it is its check alone, on which nothing has to be said where that is known."""
        return self.weigh is None and not (self.assumed or self.made_up or self.drops)


class MalformedError(Exception):
    """The kernel drops the packet because it ends inside the bytes that a match reads (``hotdrop``)."""


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


def unread(*matches: Match) -> str:
    """Return why matches whose words are not understood cannot be decided."""
    named = any(match.option in _NAMED and any(map(str.isalpha, "".join(match.values))) for match in matches)
    return UNKNOWN_NAME if named else UNMODELLED


def weighed(
    group: OptionGroup, weigh: ContextCheck, why: str = "", assumed: str = "", *, still: bool = False
) -> CompiledMatch:
    """Return the test of a match that needs more than the packet."""
    return CompiledMatch(spelled(*group), unknown, why, weigh, assumed, still=still)


def inverted(check: PacketCheck) -> PacketCheck:
    """Return the opposite check; what is not known stays so."""
    return lambda packet: None if (held := check(packet)) is None else not held


def guarded(check: PacketCheck, applies: Applicability | None) -> PacketCheck:
    """Return a check that fails where the match does not apply."""
    return check if applies is None else lambda packet: applies(packet) and check(packet)


def option(group: OptionGroup, name: str) -> Match | None:
    """Return the option of a group by its name."""
    return next((match for match in group if match.option == name), None)


def value(group: OptionGroup, name: str, default: str) -> str:
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


def speaks(*protocols: int) -> Scope:
    """Return the scope of matches on a transport header, which later fragments do not have."""
    if len(protocols) == 1:
        (protocol,) = protocols
        return Scope(lambda packet: packet.protocol == protocol and not packet.fragment, whole(protocol))
    return Scope(lambda packet: packet.protocol in protocols and not packet.fragment, whole(*protocols))


def bare(scope: Scope = EVERYWHERE) -> MatchOption:
    """Return the definition of a module without options, which holds where it applies."""
    return MatchOption(evaluate=always, breakpoints=NO_RANGES, condition=lambda _values, _family: TRUE, scope=scope)
