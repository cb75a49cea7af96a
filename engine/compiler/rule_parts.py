"""Compiles one policy rule to a `RulePart`: its iptables rules of both families and its ipsets.

Input: `CompletedRule` (a policy rule with addresses) and `CompilerOptions`. Output: `RulePart`. For the optimised
layout, it also has the rules as `UnitWithSet` values, one per kind of traffic. A part depends only on its rule and the
options, so it can be cached while other rules change. Set names derive from the rule id, so a change of one rule leaves
the sets of other rules unchanged.

Sources: iptables-extensions(8), set, comment and REJECT; ipset(8), hash:net.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

from engine.compiler.logging import limit_matches, log_target
from engine.compiler.options import CompilerOptions, Layout
from engine.compiler.traffic import Matches, protocol_match, traffic_of
from engine.ip_types import Network
from engine.policy.completed_rules import Action, CompletedRule, Direction, Protocol
from engine.policy.prefix_sets import AddressBlock, PrefixEntry, entries
from engine.rulesets.model import Family, Hook, IpSet, Match, Member, Rule, Target
from engine.rulesets.ownership import CHAIN_PREFIX, SET_PREFIX, comment_of, digest

HOOKS = {Direction.INGRESS: Hook.INPUT, Direction.EGRESS: Hook.OUTPUT}
"""Direction -> hook of the packets that its rules judge."""

SET_TYPE = "hash:net"

# The maximum size (maxelem) of a hash:net set, which grows by itself. It is fixed when the set is created, so all but
# the largest sets use the same value, with room for old and new members together.
_MAX_MEMBERS = 1 << 20
_LARGE = 1 << 16
"""Sets with more members get a large hash at creation, because growing step by step takes half a second each."""

ADDRESS_SIDE = {Direction.INGRESS: "src", Direction.EGRESS: "dst"}
"""Direction -> side of the packet that holds the peer's address."""

_TCP_RESET = "tcp-reset"
_PROHIBITED = {Family.IPV4: "icmp-admin-prohibited", Family.IPV6: "icmp6-adm-prohibited"}


@dataclass(frozen=True, slots=True)
class RuleUnit:
    """Kernel rules of one policy rule for one kind of traffic: shared matches, log rule, and one line per target.

    ``lines`` holds (extra matches, target) pairs; the first line that matches decides.
    """

    traffic: Matches
    peers: Matches
    """Match on the peer's address; empty for any peer."""
    log: tuple[Matches, Target] | None
    lines: tuple[tuple[Matches, Target], ...]
    told: Match
    """Comment match that names policy and rule."""

    def rules(self) -> Iterator[Rule]:
        """Yield the kernel rules of the unit."""
        # Ports before sets: comparing two numbers is cheaper than a set lookup.
        if self.log is not None:
            yield Rule((*self.traffic, *self.peers, *self.log[0], self.told), self.log[1])
        for extra, target in self.lines:
            yield Rule((*extra, *self.traffic, *self.peers, self.told), target)


@dataclass(frozen=True, slots=True, eq=False)
class UnitWithSet:
    """A unit with the set of its peers and the entries of that set; None for any peer. Compared by identity."""

    unit: RuleUnit
    found: IpSet | None
    addresses: tuple[PrefixEntry, ...] | None


@dataclass(frozen=True, slots=True)
class RulePart:
    """Compilation result of one rule: kernel rules by family, sets, and units by family for the optimised layout."""

    rule: CompletedRule
    ipv4: tuple[Rule, ...]
    ipv6: tuple[Rule, ...]
    sets: tuple[IpSet, ...]
    given: Mapping[Family, tuple[UnitWithSet, ...]] = field(default_factory=dict, compare=False)

    def rules(self, family: Family) -> tuple[Rule, ...]:
        """Return the kernel rules of one family."""
        return self.ipv4 if family is Family.IPV4 else self.ipv6


def chain_of(direction: Direction, *, baseline: bool = False) -> str:
    """Return the name of the chain with the rules of a direction, or with its baseline rules."""
    return f"{CHAIN_PREFIX}{HOOKS[direction]}{'-BASELINE' if baseline else ''}"


def compile_part(rule: CompletedRule, options: CompilerOptions) -> RulePart:
    """Compile one rule."""
    peers = {family: found for family in options.families if (found := entries(rule.peers or (), family))}
    sets = {family: address_set(family, digest(rule.id), found) for family, found in peers.items()}
    units = {family: tuple(_units(rule, family, sets.get(family), options)) for family in options.families}
    ipv4, ipv6 = (tuple(line for unit in units.get(family, ()) for line in unit.rules()) for family in Family)
    if options.layout is Layout.LINEAR:
        return RulePart(rule, ipv4, ipv6, tuple(sets.values()))
    given = {
        family: tuple(UnitWithSet(unit, sets.get(family), peers.get(family)) for unit in some)
        for family, some in units.items()
    }
    return RulePart(rule, ipv4, ipv6, tuple(sets.values()), given)


def comment(text: str) -> Match:
    """Return a match that carries only a comment."""
    return Match("comment", "comment", (text,))


def _units(rule: CompletedRule, family: Family, found: IpSet | None, options: CompilerOptions) -> Iterator[RuleUnit]:
    """Yield the units of a rule in one family; ``found`` is the set of its peers there."""
    peers = _peer_match(rule, found)
    if peers is None:
        return
    told = comment(comment_of(rule.policy, rule.name))
    log = (limit_matches(options.log), log_target(rule, options.log)) if rule.logged else None
    for traffic in traffic_of(rule.services, family):
        yield RuleUnit(traffic, peers, log, tuple(_targets(rule, traffic, family, options)), told)


def _targets(
    rule: CompletedRule, traffic: Matches, family: Family, options: CompilerOptions
) -> Iterator[tuple[Matches, Target]]:
    """Yield (extra matches, target) for the action of a rule."""
    match rule.action:
        case Action.ALLOW:
            yield (), Target(options.allow)
        case Action.DROP:
            yield (), Target("DROP")
        case Action.PASS:
            # A goto, not a jump: the end of the baseline chain then returns past the remaining tiers.
            yield (), Target(chain_of(rule.direction, baseline=True), goto=True)
        case Action.REJECT:
            if not traffic:
                yield protocol_match(Protocol.TCP), _reject(_TCP_RESET)
            is_tcp = protocol_match(Protocol.TCP)[0] in traffic
            yield (), _reject(_TCP_RESET if is_tcp else _PROHIBITED[family])


def _reject(answer: str) -> Target:
    return Target("REJECT", (Match("", "reject-with", (answer,)),))


def _peer_match(rule: CompletedRule, peers: IpSet | None) -> Matches | None:
    """Return the match on the peer: empty for any peer, None if the rule has no peer of this family."""
    if rule.peers is None:
        return ()
    if peers is None:
        return None
    return (Match("set", "match-set", (peers.name, ADDRESS_SIDE[rule.direction])),)


def address_set(family: Family, name: str, found: Sequence[PrefixEntry]) -> IpSet:
    """Return the set of some prefix entries; ``name`` must be unique in the family."""
    return make_set(family, name, tuple(sorted(map(member_of, found))))


def make_set(family: Family, name: str, members: tuple[Member, ...], *, told: bool = False) -> IpSet:
    """Return the set of some sorted members; ``name`` must be unique in the family.

    With ``told``, the set supports comments and counts packets per member.
    """
    name = f"{SET_PREFIX}{'4' if family is Family.IPV4 else '6'}-{name}"
    most = max(_MAX_MEMBERS, _power_of_two(2 * len(members)))
    hints = (("hashsize", str(_power_of_two(len(members)))),) if len(members) > _LARGE else ()
    more = (("counters", ""), ("comment", "")) if told else ()
    return IpSet(name, SET_TYPE, family, members, (("maxelem", str(most)), *more), hints)


def member_of(entry: PrefixEntry) -> Member:
    """Return the set member for a prefix entry."""
    text = element_of(entry.network)
    return (text,) if entry.matches else (text, *NOMATCH)


def element_of(network: Network) -> str:
    """Return a network in ipset's notation."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


NOMATCH = ("nomatch",)
"""Options of a member that is an exception (``nomatch``)."""


def all_addresses(family: Family) -> tuple[PrefixEntry, ...]:
    """Return the entries of a set of all addresses of a family."""
    return entries((AddressBlock(ip_network("0.0.0.0/0" if family is Family.IPV4 else "::/0")),), family)


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
