"""Evaluation of all policies of a cluster state for one packet on one node: each rule considered, and the deciding one.

`evaluate` returns an `Explanation`, or raises `UnknownNode`. The code follows ``docs/reference/semantics.md`` alone. It
shares nothing with policy resolution and compilation, so that tests can compare these with it. It is simple and slow on
purpose.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from engine.errors import UnknownNode
from engine.objects import ClusterNetworkPolicy, EgressRule, IngressRule
from engine.objects.config import PrivilegedRule
from engine.state.fold import ClusterState
from simulator.oracle.labels import ReasonedResult
from simulator.oracle.peers import applies_to_node, selects_address
from simulator.oracle.traffic import covers_traffic
from simulator.packets import Address, ConnState, Packet

STATIC = "(static)"
"""Policy name of the rules that precede all policies."""

_BASELINE = "baseline"
_TCP = 6

OracleRule = IngressRule | EgressRule | PrivilegedRule


@dataclass(frozen=True, slots=True)
class RuleConsideration:
    """Evaluation of one rule, or of a whole policy if ``index`` is -1: whether it matched, and why."""

    policy: str
    direction: str
    index: int
    rule: str
    matched: bool
    why: tuple[str, ...]
    action: str = ""
    logs: bool = False

    @property
    def place(self) -> str:
        """Position of the rule, such as ``ingress[0]``, with its name if it has one."""
        if self.index < 0:
            return self.rule
        return f"{self.direction}[{self.index}]" + (f" {self.rule}" if self.rule else "")


@dataclass(frozen=True, slots=True)
class Explanation:
    """Result of policy evaluation for one packet on one node.

    Attributes:
        action: Allow, Drop or Reject; empty if no rule matched, so that the host's own rules decide.
        considered: Rules in evaluation order.
        decided_by: The last of ``considered`` if it decides, or None.
    """

    packet: Packet
    action: str
    considered: tuple[RuleConsideration, ...]
    decided_by: RuleConsideration | None = None

    @property
    def verdict(self) -> str:
        """Verdict for the packet on a host without rules of its own."""
        return {"Drop": "drop", "Reject": "reject"}.get(self.action, "accept")

    @property
    def reject_with(self) -> str | None:
        """Reply that a Reject action sends, as in ``--reject-with``."""
        if self.action != "Reject":
            return None
        if self.packet.protocol == _TCP:
            return "tcp-reset"
        return "icmp-admin-prohibited" if self.packet.src.version == 4 else "icmp6-adm-prohibited"

    @property
    def logged_by(self) -> tuple[RuleConsideration, ...]:
        """Rules that log the packet."""
        return tuple(each for each in self.considered if each.matched and each.logs)


def evaluate(packet: Packet, state: ClusterState, node: str) -> Explanation:
    """Evaluate the policies of a state for a packet that a node receives or sends.

    Raises:
        UnknownNode: The state has no such node.
    """
    if node not in state.nodes:
        raise UnknownNode(node, tuple(sorted(state.nodes)))
    considered: list[RuleConsideration] = []
    for each in _considered(packet, state, node):
        considered.append(each)
        if each.matched and each.action and each.action != "Pass":
            return Explanation(packet, each.action, tuple(considered), each)
    return Explanation(packet, "", tuple(considered))


def _considered(packet: Packet, state: ClusterState, node: str) -> Iterator[RuleConsideration]:
    """Yield rule evaluations in order; the caller stops at the first rule that decides."""
    direction = "ingress" if packet.in_interface else "egress"
    unmanaged = _unmanaged(packet, state)
    if unmanaged:
        yield RuleConsideration(STATIC, direction, -1, "configuration", matched=False, why=(unmanaged,))
        return
    yield _static_consideration(direction, "loopback", packet, "lo" in {packet.in_interface, packet.out_interface})
    known = packet.state in {ConnState.ESTABLISHED, ConnState.RELATED}
    yield _static_consideration(direction, "established", packet, known)
    ranked = _ranked(state)
    above = [policy for policy in ranked if policy.spec.tier != _BASELINE]
    for each in (*_of_privileged(packet, direction, state, node), *_of_policies(above, packet, direction, state, node)):
        yield each
        if each.matched and each.action == "Pass":
            break
    last = [policy for policy in ranked if policy.spec.tier == _BASELINE]
    yield from _of_policies(last, packet, direction, state, node)


def _unmanaged(packet: Packet, state: ClusterState) -> str:
    """Return why nodewall does not manage the packet, or an empty string."""
    config = state.config
    if not config.feature_gates.node_network_policy:
        return "the feature gate NodeNetworkPolicy is shut"
    if f"IPv{packet.src.version}" not in {family.value for family in config.families}:
        return f"IPv{packet.src.version} is not among the families that are managed"
    interface = packet.in_interface or packet.out_interface
    if config.interfaces and not any(fnmatchcase(interface, glob) for glob in config.interfaces):
        return f"interface {interface} is none of {', '.join(config.interfaces)}"
    return ""


def _static_consideration(direction: str, name: str, packet: Packet, matched: bool) -> RuleConsideration:  # noqa: FBT001 - one fact
    why = f"state {packet.state.lower()}, interface {packet.in_interface or packet.out_interface}"
    return RuleConsideration(STATIC, direction, -1, name, matched, (why,), "Allow")


def _ranked(state: ClusterState) -> list[ClusterNetworkPolicy]:
    def rank(policy: ClusterNetworkPolicy) -> tuple[int, float, str]:
        tier = state.tier_priority(policy.spec.tier)
        return (-1 if tier is None else tier, policy.spec.priority, policy.metadata.name)

    return sorted(state.policies.values(), key=rank)


def _of_privileged(packet: Packet, direction: str, state: ClusterState, node: str) -> Iterator[RuleConsideration]:
    for index, rule in enumerate(state.config.effective_rules()):
        if rule.direction.lower() != direction:
            continue
        applied = (
            applies_to_node(rule.applied_to, state, node) if rule.applied_to else ReasonedResult(holds=True, why="")
        )
        yield _rule(STATIC, index, rule, applied, (packet, direction, state, node))


def _of_policies(
    policies: list[ClusterNetworkPolicy], packet: Packet, direction: str, state: ClusterState, node: str
) -> Iterator[RuleConsideration]:
    for policy in policies:
        name, spec = policy.metadata.name, policy.spec
        rules: Sequence[OracleRule] = spec.ingress if direction == "ingress" else spec.egress
        whole = applies_to_node(spec.applied_to, state, node) if spec.applied_to else ReasonedResult(holds=True, why="")
        if not whole:
            why = (f"not applied to node {node}: {whole.why}",)
            yield RuleConsideration(name, direction, -1, "appliedTo", matched=False, why=why)
            continue
        for index, rule in enumerate(rules):
            applied = applies_to_node(rule.applied_to, state, node) if rule.applied_to else whole
            yield _rule(name, index, rule, applied, (packet, direction, state, node))


def _rule(
    policy: str, index: int, rule: OracleRule, applied: ReasonedResult, about: tuple[Packet, str, ClusterState, str]
) -> RuleConsideration:
    packet, direction, state, node = about
    why = []
    matched = applied.holds
    if not matched:
        why.append(f"not applied to node {node}: {applied.why}")
    else:
        for found in (
            covers_traffic(packet, rule),
            selects_address(_peer_address(packet, direction), rule.peers, state, node),
        ):
            why.append(found.why)
            matched = matched and found.holds
    return RuleConsideration(
        policy, direction, index, rule.name or "", matched, tuple(why), rule.action, rule.enable_logging
    )


def _peer_address(packet: Packet, direction: str) -> Address:
    return packet.src if direction == "ingress" else packet.dst
