"""From the effective rules of a node to chains and sets: one linear chain per direction, first match decides.

Every verdict carries a comment that names its policy and rule; :func:`engine.names.owner_of` reads it back. Names
of sets derive from the rule they belong to, so that a change of one rule touches nothing of another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from engine.addresses import Entry, entries
from engine.names import CHAIN_PREFIX, SET_PREFIX, comment_of, digest
from engine.rules import ANY_PORT, Action, CompletedRule, Direction, Plane, PortRange, Protocol, Service
from engine.ruleset import Chain, Family, Hook, IpSet, Match, Rule, Ruleset, Table, Target
from engine.statics import STATIC_POLICY

CHAINS = {
    Direction.INGRESS: (Hook.INPUT, f"{CHAIN_PREFIX}INPUT"),
    Direction.EGRESS: (Hook.OUTPUT, f"{CHAIN_PREFIX}OUTPUT"),
}
"""Direction -> the built-in chain whose packets it judges, and the chain that holds its rules."""

TABLE = "filter"
SET_TYPE = "hash:net"

# hash:net grows by itself; this is only where it stops. It is the same for every set because it cannot be changed
# while a set lives.
_MAX_MEMBERS = ("maxelem", "1048576")

_MULTIPORT = 15  # ports one multiport match holds; a range takes two places

_PROTOCOL_FAMILY = {Protocol.ICMP: Family.IPV4, Protocol.ICMPV6: Family.IPV6}
_ADDRESS_SIDE = {Direction.INGRESS: "src", Direction.EGRESS: "dst"}
_INTERFACE_SIDE = {Direction.INGRESS: "in-interface", Direction.EGRESS: "out-interface"}
_TCP_RESET = "tcp-reset"
_PROHIBITED = {Family.IPV4: "icmp-admin-prohibited", Family.IPV6: "icmp6-adm-prohibited"}

Matches = tuple[Match, ...]


def compile_rules(rules: Sequence[CompletedRule]) -> Ruleset:
    """Return what nodewall owns on a node with these rules, in the order given: jumps, chains and sets.

    Rules for the Pods on the node are another data plane's and leave no trace here.
    """
    ours = [rule for rule in rules if rule.plane is Plane.NODES]
    sets = {(rule.id, family): found for rule in ours for family in Family if (found := _set_of(rule, family))}
    return Ruleset(
        ipv4=(_table(ours, Family.IPV4, sets),),
        ipv6=(_table(ours, Family.IPV6, sets),),
        sets=tuple(sorted(sets.values())),
    )


_Sets = Mapping[tuple[str, Family], IpSet]
"""The sets of the peers of each rule (by id) that has any in a family."""


def _table(rules: Sequence[CompletedRule], family: Family, sets: _Sets) -> Table:
    jumps, chains = [], []
    for direction, (hook, name) in CHAINS.items():
        jumps.append(Chain(hook.value, (Rule((_comment(comment_of()),), Target(name)),)))
        judged = (rule for rule in rules if rule.direction is direction)
        chains.append(Chain(name, (*_preamble(direction), *_kernel_rules(judged, family, sets))))
    return Table(TABLE, (*jumps, *chains))


def _preamble(direction: Direction) -> Iterator[Rule]:
    loopback = Match("", _INTERFACE_SIDE[direction], ("lo",))
    yield Rule((loopback, _comment(comment_of(STATIC_POLICY, "loopback"))), Target("ACCEPT"))
    known = Match("conntrack", "ctstate", ("RELATED,ESTABLISHED",))
    yield Rule((known, _comment(comment_of(STATIC_POLICY, "established"))), Target("ACCEPT"))


def _kernel_rules(rules: Iterable[CompletedRule], family: Family, sets: _Sets) -> Iterator[Rule]:
    for rule in rules:
        comment = _comment(comment_of(rule.policy, rule.name))
        peers = _peer_match(rule, sets.get((rule.id, family)))
        if peers is None:
            continue
        for traffic in _traffic(rule.services, family):
            for extra, target in _targets(rule.action, traffic, family):
                # Ports before sets: comparing two numbers is cheaper than a look-up.
                yield Rule((*extra, *traffic, *peers, comment), target)


def _targets(action: Action, traffic: Matches, family: Family) -> Iterator[tuple[Matches, Target]]:
    """Yield the targets of an action, with what each still has to match."""
    match action:
        case Action.ALLOW:
            yield (), Target("ACCEPT")
        case Action.DROP:
            yield (), Target("DROP")
        case Action.REJECT:
            if not traffic:
                yield _protocol(Protocol.TCP), _reject(_TCP_RESET)
            is_tcp = _protocol(Protocol.TCP)[0] in traffic
            yield (), _reject(_TCP_RESET if is_tcp else _PROHIBITED[family])


def _reject(answer: str) -> Target:
    return Target("REJECT", (Match("", "reject-with", (answer,)),))


def _comment(text: str) -> Match:
    return Match("comment", "comment", (text,))


def _protocol(protocol: Protocol) -> Matches:
    return (Match("", "protocol", (protocol.value,)),)


def _peer_match(rule: CompletedRule, peers: IpSet | None) -> Matches | None:
    """Return the match on the far end: none for anywhere, and None where nobody of this family is meant."""
    if rule.peers is None:
        return ()
    if peers is None:
        return None
    return (Match("set", "match-set", (peers.name, _ADDRESS_SIDE[rule.direction])),)


def _set_of(rule: CompletedRule, family: Family) -> IpSet | None:
    found = entries(rule.peers or (), family)
    if not found:
        return None
    members = tuple(sorted(_member(entry) for entry in found))
    return IpSet(_set_name(rule, family), SET_TYPE, family, members, (_MAX_MEMBERS,))


def _set_name(rule: CompletedRule, family: Family) -> str:
    return f"{SET_PREFIX}{'4' if family is Family.IPV4 else '6'}-{digest(rule.id)}"


def _member(entry: Entry) -> tuple[str, ...]:
    network = entry.network
    text = str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
    return (text,) if entry.matches else (text, "nomatch")


def _traffic(services: tuple[Service, ...], family: Family) -> Iterator[Matches]:
    """Yield the matches of each kernel rule that the services of a rule need."""
    if not services:
        yield ()
    for protocol in sorted({service.protocol for service in services}):
        if _PROTOCOL_FAMILY.get(protocol, family) is not family:
            continue
        ours = [service for service in services if service.protocol is protocol]
        if protocol in _PROTOCOL_FAMILY:
            yield from ((*_protocol(protocol), *_icmp(service)) for service in ours)
        else:
            yield from ((*_protocol(protocol), *ports) for ports in _port_matches(protocol, ours))


def _icmp(service: Service) -> Matches:
    if service.icmp is None:
        return ()
    kind, code = service.icmp
    value = str(kind) if code < 0 else f"{kind}/{code}"
    module = "icmp" if service.protocol is Protocol.ICMP else "icmp6"
    return (Match(module, "icmp-type" if module == "icmp" else "icmpv6-type", (value,)),)


def _port_matches(protocol: Protocol, services: Sequence[Service]) -> Iterator[Matches]:
    if any(service.ports == service.source_ports == ANY_PORT for service in services):
        yield ()
        return
    plain = _merged(service.ports for service in services if service.source_ports == ANY_PORT)
    if len(plain) == 1:
        yield (_port(protocol, "dport", plain[0]),)
    else:
        for chunk in _chunks(plain):
            yield (Match("multiport", "dports", (",".join(_span(ports) for ports in chunk),)),)
    for service in sorted(services):
        if service.source_ports != ANY_PORT:
            sides = (("sport", service.source_ports), ("dport", service.ports))
            yield tuple(_port(protocol, side, ports) for side, ports in sides if ports != ANY_PORT)


def _merged(ranges: Iterable[PortRange]) -> list[PortRange]:
    """Return the union of the ranges as the fewest ranges, ascending."""
    merged: list[PortRange] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _chunks(ranges: Sequence[PortRange]) -> Iterator[list[PortRange]]:
    chunk: list[PortRange] = []
    room = _MULTIPORT
    for first, last in ranges:
        places = 1 if first == last else 2
        if places > room:
            yield chunk
            chunk, room = [], _MULTIPORT
        chunk.append((first, last))
        room -= places
    if chunk:
        yield chunk


def _port(protocol: Protocol, side: str, ports: PortRange) -> Match:
    return Match(protocol.value, side, (_span(ports),))


def _span(ports: PortRange) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}:{last}"
