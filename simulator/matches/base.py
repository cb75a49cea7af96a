"""What an evaluator is: a reader of a match's words, and where the match applies at all."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.ruleset import Family, Match
from simulator.packets import Packet

Truth = bool | None
"""Whether a match holds; None where that cannot be known from the packet."""

Check = Callable[[Packet], Truth]
Guard = Callable[[Packet], bool]
Reader = Callable[[tuple[str, ...], Family], Check]
"""From a match's values to its check; ValueError where the values are not understood."""

UNKNOWN_INTERFACE = "/"
"""An interface that the hook has but the packet does not name; no real one is called so."""


@dataclass(frozen=True, slots=True)
class Evaluator:
    """How one option is evaluated.

    Where ``applies`` is false the match fails even when negated: ``! --dport 22`` is still about TCP. ``needs``
    names what the packet lacks when the check returns None.
    """

    read: Reader
    applies: Guard | None = None
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Test:
    """One match made ready: its text as iptables prints it, its check, and why the check may return None."""

    text: str
    check: Check
    why: str


def inverted(check: Check) -> Check:
    """Return the opposite check; what is not known stays so."""
    return lambda packet: None if (held := check(packet)) is None else not held


def guarded(check: Check, applies: Guard | None) -> Check:
    """Return a check that fails where the match does not apply."""
    return check if applies is None else lambda packet: applies(packet) and check(packet)


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
    (value,) = values
    return value
