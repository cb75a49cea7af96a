"""Data model of iptables and ipset: rulesets, tables, chains, rules, matches, targets and sets, as frozen values.

Every stage after policy resolution uses it: compiler, text parsers and renderers, diff, simulator and netfilter
adapter. The model depends neither on policies nor on the text formats of the tools.

Shapes follow iptables(8) and ipset(8). A ruleset has tables per family, a table has chains, a chain has rules, a rule
has matches and a target. Sets belong to the ruleset, because ipset has one list for both families.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from engine.rulesets.ownership import CHAIN_PREFIX, SET_PREFIX


class Family(StrEnum):
    """An address family, with Kubernetes' name."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


class Hook(StrEnum):
    """A netfilter hook, with the name of its built-in chain."""

    PREROUTING = "PREROUTING"
    INPUT = "INPUT"
    FORWARD = "FORWARD"
    OUTPUT = "OUTPUT"
    POSTROUTING = "POSTROUTING"


Counters = tuple[int, int]
"""Packets and bytes, as ``[packets:bytes]`` in iptables-save."""


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """One option of a rule; ``module`` is empty for options of iptables itself (``-s``, ``-p``, …).

    ``option`` is the long name without dashes (``source``, ``dport``); a bare ``-m tcp`` has an empty option.
    ``values`` are the words after it, unquoted.
    """

    module: str
    option: str
    values: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Target of a rule: a built-in or extension target, or a chain; ``goto`` means ``-g`` instead of ``-j``."""

    name: str
    options: tuple[Match, ...] = ()
    goto: bool = False

    @property
    def owned(self) -> bool:
        """Whether the target is one of nodewall's chains."""
        return self.name.startswith(CHAIN_PREFIX)


_SET_OPTIONS = frozenset({"match-set", "add-set", "del-set", "map-set"})


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One rule; without a target it only counts. ``counters`` are not compared."""

    matches: tuple[Match, ...] = ()
    target: Target | None = None
    counters: Counters | None = field(default=None, compare=False)

    def value_of(self, module: str, option: str) -> str | None:
        """Return the first value of the match ``module option``, or None if the rule lacks it."""
        for match in self.matches:
            if match.module == module and match.option == option and match.values:
                return match.values[0]
        return None

    @property
    def comment(self) -> str:
        """The comment, or an empty string."""
        return self.value_of("comment", "comment") or ""

    @property
    def set_names(self) -> tuple[str, ...]:
        """Sets that the rule looks up or changes."""
        options = (*self.matches, *(self.target.options if self.target else ()))
        return tuple(each.values[0] for each in options if each.option in _SET_OPTIONS and each.values)


@dataclass(frozen=True, slots=True, order=True)
class Chain:
    """A chain with its rules in order; only built-in chains have a ``policy`` (``ACCEPT`` or ``DROP``).

    ``jumps_last`` applies to a desired built-in chain, which holds only our jumps: they go after all other rules.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    policy: str | None = None
    counters: Counters | None = field(default=None, compare=False)
    jumps_last: bool = field(default=False, compare=False)

    @property
    def owned(self) -> bool:
        """Whether the chain is one of nodewall's."""
        return self.name.startswith(CHAIN_PREFIX)


@dataclass(frozen=True, slots=True, order=True)
class Table:
    """A table (``filter``, ``nat``, …) and its chains, in the order of the text."""

    name: str
    chains: tuple[Chain, ...] = ()

    def chain(self, name: str) -> Chain | None:
        """Return the chain of that name, or None."""
        return next((chain for chain in self.chains if chain.name == name), None)


Member = tuple[str, ...]
"""A set member as words: the element, then flags such as ``nomatch``."""


@dataclass(frozen=True, slots=True, order=True)
class IpSet:
    """An ipset of a ``type`` such as ``hash:net``; ``options`` are its create options.

    ``members`` are sorted, except where the order matters (``list:set``, and entries of one network in
    ``hash:net,iface``). ``hints`` are create options that the kernel chooses or changes itself (``hashsize``,
    ``bucketsize``, ``initval``); they are not compared.
    """

    name: str
    type: str
    family: Family | None = None
    members: tuple[Member, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    hints: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def owned(self) -> bool:
        """Whether the set is one of nodewall's."""
        return self.name.startswith(SET_PREFIX)

    @property
    def is_list(self) -> bool:
        """Whether the members are sets."""
        return self.type == "list:set"

    @property
    def set_names(self) -> tuple[str, ...]:
        """Names of the member sets of a ``list:set``."""
        return tuple(member[0] for member in self.members) if self.is_list else ()

    @property
    def kind(self) -> tuple[str, Family | None]:
        """Type and family, which cannot change during the set's life."""
        return (self.type, self.family)


@dataclass(frozen=True, slots=True, order=True)
class Ruleset:
    """The packet filter of a node: tables of both families, and sets."""

    ipv4: tuple[Table, ...] = ()
    ipv6: tuple[Table, ...] = ()
    sets: tuple[IpSet, ...] = ()

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family."""
        return self.ipv4 if family is Family.IPV4 else self.ipv6

    def table(self, family: Family, name: str) -> Table:
        """Return one table; empty if the ruleset lacks it."""
        return next((table for table in self.tables(family) if table.name == name), Table(name))

    def chains(self) -> Iterator[tuple[Family, Table, Chain]]:
        """Yield every chain with its family and table, IPv4 first."""
        for family in Family:
            for table in self.tables(family):
                for chain in table.chains:
                    yield family, table, chain
