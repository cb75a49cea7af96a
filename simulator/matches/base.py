"""Base types for iptables matches: each match is defined once, for all three engines of the simulator.

`MatchOption` defines one option, `MatchGroup` a module whose options depend on each other. A definition has:

- a check of one packet, for the walker (evaluates single packets);
- breakpoints, the field values where its result may change, for the batch engine (evaluates many packets);
- a `Formula`, for the symbolic engine (evaluates all packets at once).

Where breakpoints or formula are missing, the definition gives the reason. `CompiledMatch` is a match of a rule with its
check.
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
"""Result of a match; None if the packet does not determine it."""

PacketCheck = Callable[[Packet], Truth]
ContextCheck = Callable[[Packet, PacketContext], Truth]
"""Check that needs more than the packet, such as the node's addresses or the memory of rules."""

Applicability = Callable[[Packet], bool]
CheckReader = Callable[[tuple[str, ...], Family], PacketCheck]
"""Function from a match's values to its check; ValueError for values that are not understood."""

OptionGroup = tuple[Match, ...]
"""Options of one ``-m``."""

UNMODELLED = "is not modelled"
UNKNOWN_NAME = "names a protocol or service that is not known here (write its number)"
_NAMED = frozenset({"protocol", "ctproto", "sport", "dport", "sports", "dports", "ports"})


@dataclass(frozen=True, slots=True)
class Scope:
    """Packets that a match applies to; it fails for others even when negated: ``! --dport 22`` is still about TCP.

    ``check`` of None means all packets. ``condition`` is for the symbolic engine; None if fields do not decide.
    """

    check: Applicability | None = None
    condition: Formula | None = None


EVERYWHERE = Scope(None, TRUE)

Condition = Callable[[tuple[str, ...], Family], Formula]
"""Function from a match's values to its condition; ValueError, KeyError or IndexError if it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOption:
    """Definition of an option that is evaluated alone.

    A text in ``breakpoints`` is the reason why there are none; an `Undecided` in ``condition`` is the reason why the
    result is free. ``needs`` names what the packet lacks when the check returns None. ``made_up`` is the assumption if
    the packet's bytes are unknown. ``drops`` says that the check may find that the packet ends too early.
    """

    evaluate: CheckReader
    breakpoints: Breakpoints | str
    condition: Condition | Undecided
    scope: Scope = EVERYWHERE
    needs: str = ""
    made_up: str = ""
    drops: bool = False


Membership = Callable[[str, Sequence[bool], bool], Formula]
"""Function that returns the condition for a packet to be in a set.

Its arguments are the set's name, the sides of the look-up, and whether exceptions are looked up. KeyError or
ValueError if there is no condition.
"""


@dataclass(frozen=True, slots=True)
class ConditionContext:
    """Surroundings of a condition: the family and the contents of sets."""

    family: Family
    membership: Membership


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchGroup:
    """Module whose options are evaluated together.

    ``breakpoints`` are those of each option, or the reason why there are none. ``per_rule`` says that a match looks
    into sets of its ruleset, or keeps memory for its rule, so that no two rules share one.
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
        """Whether ``check`` alone gives the result, without an assumption and without dropping packets."""
        return self.weigh is None and not (self.assumed or self.made_up or self.drops)


class MalformedError(Exception):
    """The kernel drops the packet because it ends inside the bytes that a match reads (``hotdrop``)."""


def beyond(packet: Packet) -> Truth:
    """Return None for a read beyond the known bytes of a packet.

    Raises:
        MalformedError: all bytes of the packet are known, so the packet ends before the read.
    """
    if packet.wire is None or len(packet.wire) < (packet.length or 0):
        return None
    raise MalformedError


def unknown(_packet: Packet) -> Truth:
    """Return None: the result is unknown."""
    return None


def opaque(*matches: Match, why: str = UNMODELLED) -> CompiledMatch:
    """Return the compiled match of options that cannot be decided; ``why`` is the reason."""
    return CompiledMatch(spelled(*matches), unknown, why)


def unread(*matches: Match) -> str:
    """Return the reason why a match whose words are not understood cannot be decided."""
    named = any(match.option in _NAMED and any(map(str.isalpha, "".join(match.values))) for match in matches)
    return UNKNOWN_NAME if named else UNMODELLED


def weighed(
    group: OptionGroup, weigh: ContextCheck, why: str = "", assumed: str = "", *, still: bool = False
) -> CompiledMatch:
    """Return the compiled match of a check that needs more than the packet."""
    return CompiledMatch(spelled(*group), unknown, why, weigh, assumed, still=still)


def inverted(check: PacketCheck) -> PacketCheck:
    """Return the negated check; an unknown result stays unknown."""
    return lambda packet: None if (held := check(packet)) is None else not held


def guarded(check: PacketCheck, applies: Applicability | None) -> PacketCheck:
    """Return a check that is false for packets outside the match's scope."""
    return check if applies is None else lambda packet: applies(packet) and check(packet)


def option(group: OptionGroup, name: str) -> Match | None:
    """Return the option of a group by its name; None if the group lacks it."""
    return next((match for match in group if match.option == name), None)


def value(group: OptionGroup, name: str, default: str) -> str:
    """Return the only value of an option, or the default if the group lacks the option.

    Raises:
        ValueError: the option has no value, or more than one.
    """
    found = option(group, name)
    return default if found is None else one(found.values)


def spelled(*matches: Match) -> str:
    """Return the options of one module as iptables prints them, with the module once."""
    words = ["-m", matches[0].module] if matches[0].module else []
    for match in matches:
        words += ["!"] if match.negated else []
        words += [f"--{match.option}"] if match.option else []
        words += match.values
    return " ".join(words)


def one(values: tuple[str, ...]) -> str:
    """Return the only value.

    Raises:
        ValueError: there is no value, or more than one.
    """
    (found,) = values
    return found


def holds(_packet: Packet) -> Truth:
    """Return True for every packet."""
    return True


def always(_values: tuple[str, ...], _family: Family) -> PacketCheck:
    """Return a check that is true for every packet."""
    return holds


def speaks(*protocols: int) -> Scope:
    """Return the scope of matches on a transport header, which fragments other than the first lack."""
    if len(protocols) == 1:
        (protocol,) = protocols
        return Scope(lambda packet: packet.protocol == protocol and not packet.fragment, whole(protocol))
    return Scope(lambda packet: packet.protocol in protocols and not packet.fragment, whole(*protocols))


def bare(scope: Scope = EVERYWHERE) -> MatchOption:
    """Return the definition of a module without options, which matches its whole scope."""
    return MatchOption(evaluate=always, breakpoints=NO_RANGES, condition=lambda _values, _family: TRUE, scope=scope)
