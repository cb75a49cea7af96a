"""Resolves the cluster state to the ordered rules of one node: tiers, priorities, selectors, addresses.

Input: `ClusterState` and a node name. Output: `CompletedRule` values in evaluation order, ascending by (tier priority,
policy priority, policy name, rule index). The result does not depend on the order in which objects were created.
Raises `UnknownNode`, and `Refused` for a policy whose tier does not exist.

Source: ``docs/reference/semantics.md``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from engine.errors import Fault, Refused, UnknownNode, safe_text
from engine.events import StateChange
from engine.objects import (
    AppliedTo,
    ClusterNetworkPolicy,
    EgressRule,
    IngressRule,
    PolicyPort,
    PolicyRule,
    RuleProtocol,
)
from engine.objects.config import PrivilegedProtocol, PrivilegedRule
from engine.policy.completed_rules import (
    ANY_PORT,
    STATIC_POLICY,
    STATIC_PRIORITY,
    Action,
    CompletedRule,
    Direction,
    Plane,
    PortRange,
    Protocol,
    Rank,
    Traffic,
)
from engine.policy.incremental import Query, QueryCache, Topic, key_topic
from engine.policy.peers import GroupPlanes, NodeMatches, addresses_of
from engine.rulesets.ownership import digest
from engine.state.fold import ClusterState

DeclaredRule = IngressRule | EgressRule | PrivilegedRule


@dataclass(frozen=True, slots=True)
class _Placed:
    """A rule of a policy with its direction and its index in that direction."""

    rule: DeclaredRule
    direction: Direction
    index: int


def resolve(state: ClusterState, node: str) -> tuple[CompletedRule, ...]:
    """Return the effective rules of a node in evaluation order; static rules come first.

    Rules applied to Pods are included and marked with their plane.

    Raises:
        UnknownNode: the state has no such node.
        Refused: a policy names a tier that the state lacks.
    """
    return rules_of(QueryCache(state), node)


def rules_of(answers: QueryCache, node: str) -> tuple[CompletedRule, ...]:
    """Return the result of :func:`resolve`, using cached answers."""
    state = answers.state
    if node not in state.nodes:
        raise UnknownNode(node, tuple(sorted(state.nodes)))
    found = [rule for name in state.policies for rule in answers.ask(PolicyRulesQuery(name, node))]
    return (*answers.ask(PrivilegedRulesQuery(node)), *sort_rules(found))


def root_queries(state: ClusterState, node: str) -> Iterator[Query[object]]:
    """Yield the queries that give the rules of a node."""
    yield PrivilegedRulesQuery(node)
    yield from (PolicyRulesQuery(name, node) for name in state.policies)


def sort_rules(rules: Iterable[CompletedRule]) -> list[CompletedRule]:
    """Return policy rules in evaluation order."""
    return sorted(rules, key=_order)


def _order(rule: CompletedRule) -> tuple[int, float, str, int, str, str]:
    rank = rule.rank
    return (rank.tier, rank.priority, rank.policy, rank.index, rule.direction.value, rule.plane.value)


@dataclass(frozen=True, slots=True)
class PrivilegedRulesQuery:
    """Query: static rules of a node, in order."""

    depth: ClassVar[int] = 2
    node: str

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return no topics: only other queries affect the answer."""
        return ()

    def answer(self, answers: QueryCache) -> tuple[CompletedRule, ...]:
        """Return the rules."""
        return tuple(self._rules(answers))

    def touched(self, change: StateChange, state: ClusterState) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False; a new configuration starts a new cache."""
        return False

    def _rules(self, answers: QueryCache) -> Iterator[CompletedRule]:
        rules = answers.state.config.effective_rules()
        placed = (_Placed(rule, Direction(rule.direction.lower()), index) for index, rule in enumerate(rules))
        for each, name in _named(tuple(placed)):
            applied = each.rule.applied_to
            if not applied or Plane.NODES in _planes(applied, self.node, answers):
                rank = Rank(STATIC_PRIORITY, 0.0, STATIC_POLICY, each.index)
                yield _completed(each, name, STATIC_POLICY, rank, self.node, answers)


@dataclass(frozen=True, slots=True)
class PolicyRulesQuery:
    """Query: rules of a policy for one node, one per data plane."""

    depth: ClassVar[int] = 2
    policy: str
    node: str

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return the topics that may affect the answer."""
        return (("Tier", ""), key_topic("ClusterNetworkPolicy", self.policy))

    def answer(self, answers: QueryCache) -> tuple[CompletedRule, ...]:
        """Return the rules; none if the policy does not exist.

        Raises:
            Refused: the tier of the policy does not exist.
        """
        policy = answers.state.policies.get(self.policy)
        return tuple(self._rules(policy, answers)) if policy else ()

    def touched(self, change: StateChange, state: ClusterState) -> bool:
        """Return whether the policy or its tier changed."""
        policy = state.policies.get(self.policy)
        if change.kind == "Tier":
            return policy is not None and policy.spec.tier == change.key
        return change.kind == "ClusterNetworkPolicy" and change.key == self.policy

    def _rules(self, policy: ClusterNetworkPolicy, answers: QueryCache) -> Iterator[CompletedRule]:
        whole = _planes(policy.spec.applied_to, self.node, answers)
        if policy.spec.applied_to and not whole:
            return
        tier = _tier(policy, answers.state)
        for placed, name in _named(tuple(_placed(policy))):
            rank = Rank(tier, policy.spec.priority, self.policy, placed.index)
            for plane in whole or _planes(placed.rule.applied_to, self.node, answers):
                yield _completed(placed, name, self.policy, rank, self.node, answers, plane)


def _tier(policy: ClusterNetworkPolicy, state: ClusterState) -> int:
    tier = state.tier_priority(policy.spec.tier)
    if tier is None:
        where = f"ClusterNetworkPolicy/{policy.metadata.name}: spec.tier"
        raise Refused((Fault(where, f"no tier {safe_text(policy.spec.tier)}", "a tier of this world"),))
    return tier


def _completed(
    placed: _Placed,
    name: str,
    policy: str,
    rank: Rank,
    node: str,
    answers: QueryCache,
    plane: Plane = Plane.NODES,
) -> CompletedRule:
    rule = placed.rule
    return CompletedRule(
        policy=policy,
        name=name,
        rank=rank,
        direction=placed.direction,
        action=Action(rule.action),
        peers=addresses_of(rule.peers, node, answers),
        services=_services(rule),
        plane=plane,
        logged=rule.enable_logging,
        label=rule.log_label or "",
    )


def _planes(entries: Sequence[AppliedTo], node: str, answers: QueryCache) -> tuple[Plane, ...]:
    """Return the data planes of a node that ``appliedTo`` selects."""
    found = frozenset[Plane]().union(*(_planes_of(entry, node, answers) for entry in entries))
    return tuple(plane for plane in Plane if plane in found)


def _planes_of(entry: AppliedTo, node: str, answers: QueryCache) -> frozenset[Plane]:
    if entry.group is not None:
        return answers.ask(GroupPlanes(entry.group, node))
    if entry.node_selector is not None:
        ours = answers.ask(NodeMatches(node, entry.node_selector.selector()))
        return frozenset((Plane.NODES,) if ours else ())
    return frozenset((Plane.PODS,))  # which Pods are on this node is for the data plane of Pods to find out


def _placed(policy: ClusterNetworkPolicy) -> Iterator[_Placed]:
    for index, ingress in enumerate(policy.spec.ingress):
        yield _Placed(ingress, Direction.INGRESS, index)
    for index, egress in enumerate(policy.spec.egress):
        yield _Placed(egress, Direction.EGRESS, index)


def _named(rules: Sequence[_Placed]) -> Iterator[tuple[_Placed, str]]:
    """Yield the rules with their names; an unnamed rule gets ``direction-action-hash``.

    The hash excludes the peers, so a rule keeps its name and its set when peers change. Rules that differ only in peers
    are numbered by their occurrence.
    """
    taken = {placed.rule.name for placed in rules if placed.rule.name}
    for placed in rules:
        if placed.rule.name:
            yield placed, placed.rule.name
            continue
        name = next(name for name in _generated(placed) if name not in taken)
        taken.add(name)
        yield placed, name


def _generated(placed: _Placed) -> Iterator[str]:
    services = repr([service.order for service in _services(placed.rule)])
    occurrence = 0
    while True:
        content = digest(placed.direction, placed.rule.action, services, str(occurrence), digits=7)
        yield f"{placed.direction}-{placed.rule.action.lower()}-{content}"
        occurrence += 1


def _services(rule: PolicyRule) -> tuple[Traffic, ...]:
    found = {*map(_of_port, rule.ports), *(service for entry in rule.protocols for service in _of_protocol(entry))}
    return tuple(sorted(found, key=lambda service: service.order))


def _of_port(port: PolicyPort) -> Traffic:
    return Traffic(
        protocol=Protocol(port.protocol.lower()),
        ports=_range(port.port, port.end_port),
        source_ports=_range(port.source_port, port.source_end_port),
    )


def _range(first: int | None, last: int | None) -> PortRange:
    return ANY_PORT if first is None else (first, last if last is not None else first)


_FIRST_ICMPV6_QUERY = 128
"""ICMPv6 types below are error messages; in a policy such a type means ICMP (docs/reference/semantics.md)."""


def _of_protocol(entry: RuleProtocol) -> Iterator[Traffic]:
    if entry.igmp is not None:
        kind, group = entry.igmp.igmp_type, entry.igmp.group_address or ""
        unlimited = kind is None and not group
        yield Traffic(Protocol.IGMP, igmp=None if unlimited else (-1 if kind is None else kind, group))
    if entry.icmp is not None:
        kind, icmp = entry.icmp.icmp_type, _icmp(entry.icmp.icmp_type, entry.icmp.icmp_code)
        if kind is None or kind < _FIRST_ICMPV6_QUERY:
            yield Traffic(Protocol.ICMP, icmp=icmp)
        if kind is None or kind >= _FIRST_ICMPV6_QUERY:
            yield Traffic(Protocol.ICMPV6, icmp=icmp)
    if isinstance(entry, PrivilegedProtocol) and entry.icmpv6 is not None:
        yield Traffic(Protocol.ICMPV6, icmp=_icmp(entry.icmpv6.icmp_type, entry.icmpv6.icmp_code))


def _icmp(kind: int | None, code: int | None) -> tuple[int, int] | None:
    return None if kind is None else (kind, -1 if code is None else code)
