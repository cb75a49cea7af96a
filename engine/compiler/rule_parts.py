"""What one rule of a policy compiles to: kernel rules of both families, and the sets that they look into.

A part depends on its rule and the options alone, so it can be kept while other rules come and go. Names of sets
derive from the rule they belong to, so that a change of one rule touches nothing of another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

from engine.compiler.logging import limit_matches, log_target
from engine.compiler.options import CompilerOptions, Layout
from engine.compiler.traffic import Matches, protocol_match, traffic_of
from engine.policy.completed_rules import Action, CompletedRule, Direction, Protocol
from engine.policy.prefix_sets import AddressBlock, Network, PrefixEntry, entries
from engine.rulesets.model import Family, Hook, IpSet, Match, Member, Rule, Target
from engine.rulesets.ownership import CHAIN_PREFIX, SET_PREFIX, comment_of, digest

HOOKS = {Direction.INGRESS: Hook.INPUT, Direction.EGRESS: Hook.OUTPUT}
"""Direction -> the hook whose packets its rules judge."""

SET_TYPE = "hash:net"

# hash:net grows by itself; this is only where it stops. It cannot be changed while a set lives, so it is the same for
# every set but the largest, and has room for old and new members together.
_MAX_MEMBERS = 1 << 20
_LARGE = 1 << 16
"""Members from which on a set's table is made large at once, instead of growing by halves of a second."""

ADDRESS_SIDE = {Direction.INGRESS: "src", Direction.EGRESS: "dst"}
"""Direction -> on which side of packets the far end is."""

_TCP_RESET = "tcp-reset"
_PROHIBITED = {Family.IPV4: "icmp-admin-prohibited", Family.IPV6: "icmp6-adm-prohibited"}


@dataclass(frozen=True, slots=True)
class RuleUnit:
    """What one rule does to packets of one traffic: all that matches and logs, and a line for each target.

    The first line that matches decides, and each has what it still has to match in front.
    """

    traffic: Matches
    peers: Matches
    """The look-up of the far end, none for anywhere."""
    log: tuple[Matches, Target] | None
    lines: tuple[tuple[Matches, Target], ...]
    told: Match
    """The comment."""

    def rules(self) -> Iterator[Rule]:
        """Yield it as kernel rules."""
        # Ports before sets: comparing two numbers is cheaper than a look-up.
        if self.log is not None:
            yield Rule((*self.traffic, *self.peers, *self.log[0], self.told), self.log[1])
        for extra, target in self.lines:
            yield Rule((*extra, *self.traffic, *self.peers, self.told), target)


@dataclass(frozen=True, slots=True, eq=False)
class UnitWithSet:
    """A unit with the set that it looks into and what that set has, if it looks into one; told apart by identity."""

    unit: RuleUnit
    found: IpSet | None
    addresses: tuple[PrefixEntry, ...] | None


@dataclass(frozen=True, slots=True)
class RulePart:
    """The kernel rules of one rule by family, and its sets; and its units by family for the optimised layout."""

    rule: CompletedRule
    ipv4: tuple[Rule, ...]
    ipv6: tuple[Rule, ...]
    sets: tuple[IpSet, ...]
    given: Mapping[Family, tuple[UnitWithSet, ...]] = field(default_factory=dict, compare=False)

    def rules(self, family: Family) -> tuple[Rule, ...]:
        """Return the kernel rules of one family."""
        return self.ipv4 if family is Family.IPV4 else self.ipv6


def chain_of(direction: Direction, *, baseline: bool = False) -> str:
    """Return the chain that holds the rules of a direction, or those of its baseline tier."""
    return f"{CHAIN_PREFIX}{HOOKS[direction]}{'-BASELINE' if baseline else ''}"


def part_of(rule: CompletedRule, options: CompilerOptions) -> RulePart:
    """Return what a rule compiles to."""
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
    """Return the match that only carries a comment."""
    return Match("comment", "comment", (text,))


def _units(rule: CompletedRule, family: Family, found: IpSet | None, options: CompilerOptions) -> Iterator[RuleUnit]:
    """Yield what a rule does in a family, by the set of its peers there."""
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
    """Yield the targets of an action, with what each still has to match."""
    match rule.action:
        case Action.ALLOW:
            yield (), Target(options.allow)
        case Action.DROP:
            yield (), Target("DROP")
        case Action.PASS:
            # Not a jump: at its end the baseline chain returns to the built-in chain, past all that is skipped.
            yield (), Target(chain_of(rule.direction, baseline=True), goto=True)
        case Action.REJECT:
            if not traffic:
                yield protocol_match(Protocol.TCP), _reject(_TCP_RESET)
            is_tcp = protocol_match(Protocol.TCP)[0] in traffic
            yield (), _reject(_TCP_RESET if is_tcp else _PROHIBITED[family])


def _reject(answer: str) -> Target:
    return Target("REJECT", (Match("", "reject-with", (answer,)),))


def _peer_match(rule: CompletedRule, peers: IpSet | None) -> Matches | None:
    """Return the match on the far end: none for anywhere, and None where nobody of this family is meant."""
    if rule.peers is None:
        return ()
    if peers is None:
        return None
    return (Match("set", "match-set", (peers.name, ADDRESS_SIDE[rule.direction])),)


def address_set(family: Family, name: str, found: Sequence[PrefixEntry]) -> IpSet:
    """Return the set of some entries, under a name of its own among all of a family."""
    return set_with(family, name, tuple(sorted(map(member_of, found))))


def set_with(family: Family, name: str, members: tuple[Member, ...], *, told: bool = False) -> IpSet:
    """Return the set of some members, sorted, under a name of its own among all of a family.

    Members that are ``told`` have comments, and count packets.
    """
    name = f"{SET_PREFIX}{'4' if family is Family.IPV4 else '6'}-{name}"
    most = max(_MAX_MEMBERS, _power_of_two(2 * len(members)))
    hints = (("hashsize", str(_power_of_two(len(members)))),) if len(members) > _LARGE else ()
    more = (("counters", ""), ("comment", "")) if told else ()
    return IpSet(name, SET_TYPE, family, members, (("maxelem", str(most)), *more), hints)


def member_of(entry: PrefixEntry) -> Member:
    """Return the member that a set has for an entry."""
    text = element_of(entry.network)
    return (text,) if entry.matches else (text, *EXCEPTED)


def element_of(network: Network) -> str:
    """Return a network as ipset prints it."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


EXCEPTED = ("nomatch",)
"""What a member has that is an exception."""


def everything(family: Family) -> tuple[PrefixEntry, ...]:
    """Return the entries of a set of all addresses."""
    return entries((AddressBlock(ip_network("0.0.0.0/0" if family is Family.IPV4 else "::/0")),), family)


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
