"""Chains, rules and address sets as plain values: the one vocabulary of every stage after resolution.

The compiler makes them, the codecs read and write them, the diff compares them, the simulator walks them and the
kernel adapter observes them. This module knows nothing of policies, nor of how the tools spell a rule.

Shapes follow iptables(8) and ipset(8): a ruleset has tables per family, a table has chains, a chain has rules, a
rule has matches and a target; sets stand beside the tables because both families share them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from engine.rulesets.ownership import CHAIN_PREFIX, SET_PREFIX


class Family(StrEnum):
    """An address family, under the name Kubernetes gives it."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


class Hook(StrEnum):
    """A netfilter hook, under the name of its built-in chain."""

    PREROUTING = "PREROUTING"
    INPUT = "INPUT"
    FORWARD = "FORWARD"
    OUTPUT = "OUTPUT"
    POSTROUTING = "POSTROUTING"


Counters = tuple[int, int]
"""Packets and bytes, as ``[packets:bytes]`` in iptables-save."""


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """One option of a rule: ``module`` is empty for those every rule has (``-s``, ``-p``, …).

    ``option`` has no leading dashes and is the long name (``source``, ``dport``); a bare ``-m tcp`` is a match
    whose option is empty. ``values`` are the words after it, unquoted.
    """

    module: str
    option: str
    values: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What a rule does: a built-in or extension target or another chain; ``goto`` is ``-g`` instead of ``-j``."""

    name: str
    options: tuple[Match, ...] = ()
    goto: bool = False

    @property
    def owned(self) -> bool:
        """Whether it leads to one of nodewall's chains."""
        return self.name.startswith(CHAIN_PREFIX)


_SET_OPTIONS = frozenset({"match-set", "add-set", "del-set", "map-set"})


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One rule; without a target it only counts. ``counters`` take no part in comparison."""

    matches: tuple[Match, ...] = ()
    target: Target | None = None
    counters: Counters | None = field(default=None, compare=False)

    def value_of(self, module: str, option: str) -> str | None:
        """Return the first value of the match ``module option``, or None where the rule has no such match."""
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
        """The sets it looks packets up in, or changes."""
        options = (*self.matches, *(self.target.options if self.target else ()))
        return tuple(each.values[0] for each in options if each.option in _SET_OPTIONS and each.values)


@dataclass(frozen=True, slots=True, order=True)
class Chain:
    """A chain and its rules in order; ``policy`` only on built-in ones (``ACCEPT`` or ``DROP``).

    ``jumps_last`` says of a wanted built-in chain, which holds only our jumps, that these stand behind all others.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    policy: str | None = None
    counters: Counters | None = field(default=None, compare=False)
    jumps_last: bool = field(default=False, compare=False)

    @property
    def owned(self) -> bool:
        """Whether it is one of nodewall's."""
        return self.name.startswith(CHAIN_PREFIX)


@dataclass(frozen=True, slots=True, order=True)
class Table:
    """A table (``filter``, ``nat``, …) and its chains, in the order of the text they came from."""

    name: str
    chains: tuple[Chain, ...] = ()

    def chain(self, name: str) -> Chain | None:
        """Return the chain of that name, if there is one."""
        return next((chain for chain in self.chains if chain.name == name), None)


Member = tuple[str, ...]
"""A set member as words: the element, then flags such as ``nomatch``."""


@dataclass(frozen=True, slots=True, order=True)
class IpSet:
    """An ipset: ``type`` such as ``hash:net``; ``options`` the create options that matter.

    ``members`` are sorted; where their order matters, of sets in a list and of interfaces with one network, it is kept.
    ``hints`` are create options the kernel picks or grows by itself (``hashsize``, ``bucketsize``, ``initval``).
    """

    name: str
    type: str
    family: Family | None = None
    members: tuple[Member, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    hints: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def owned(self) -> bool:
        """Whether it is one of nodewall's."""
        return self.name.startswith(SET_PREFIX)

    @property
    def is_list(self) -> bool:
        """Whether its members are sets."""
        return self.type == "list:set"

    @property
    def set_names(self) -> tuple[str, ...]:
        """The sets it lists."""
        return tuple(member[0] for member in self.members) if self.is_list else ()

    @property
    def kind(self) -> tuple[str, Family | None]:
        """What cannot change while the set lives."""
        return (self.type, self.family)


@dataclass(frozen=True, slots=True, order=True)
class Ruleset:
    """Everything a node filters by: the tables of both families and the sets."""

    ipv4: tuple[Table, ...] = ()
    ipv6: tuple[Table, ...] = ()
    sets: tuple[IpSet, ...] = ()

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family."""
        return self.ipv4 if family is Family.IPV4 else self.ipv6

    def table(self, family: Family, name: str) -> Table:
        """Return one table, empty where the ruleset lacks it."""
        return next((table for table in self.tables(family) if table.name == name), Table(name))

    def chains(self) -> Iterator[tuple[Family, Table, Chain]]:
        """Yield every chain with its family and table, IPv4 first."""
        for family in Family:
            for table in self.tables(family):
                for chain in table.chains:
                    yield family, table, chain
