"""Configuration of a node, ``nodewall.yaml``: managed interfaces and families, logging, guard, and privileged rules.

The model `Configuration` has a default for every field. Privileged rules come before all policies and use the policy
language, so that users can show, copy and replace them. This module has only the models; :mod:`adapters` reads the
file and the environment. Raises ``pydantic.ValidationError``.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, WrapSerializer, model_validator

from engine.errors import safe_text
from engine.objects import (
    Byte,
    CheckedModel,
    DeclaredModel,
    IPText,
    Peer,
    PolicyRule,
    RawFields,
    RuleProtocol,
    StrictText,
    ValidationFinding,
    entries,
)
from engine.rulesets.model import Family
from engine.validation_errors import validation_error

_RATE = re.compile(r"([1-9][0-9]{0,4})/(second|minute|hour|day)")
_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_LONGEST = 86400  # seconds that xt_limit can represent for refilling a burst
_LIMIT_SCALE = 10000  # xt_limit counts in ten-thousandths of a second
_GLOB = re.compile(r"[A-Za-z0-9_.:@*?\[\]!^-]{1,63}")


def _rate(text: str) -> str:
    if not _RATE.fullmatch(text):
        raise validation_error(f"found {safe_text(text)}", "a rate such as 10/second or 100/minute")
    number, seconds = rate_of(text)
    scale = seconds * _LIMIT_SCALE
    if number > scale or scale // (scale // number) != number:
        kept = scale // max(scale // number, 1)
        unit = text.partition("/")[2]
        raise validation_error(
            f"found {safe_text(text)}, which the kernel would round", f"{kept}/{unit}, or another that it keeps"
        )
    return text


def rate_of(text: str) -> tuple[int, int]:
    """Return (count, seconds) of a valid rate such as ``10/second``."""
    number, _, unit = text.partition("/")
    return int(number), _PERIODS[unit]


def _interface_glob(text: str) -> str:
    if not _GLOB.fullmatch(text):
        raise validation_error(f"found {safe_text(text)}", "a name or a glob of interfaces, such as eth* or ens160")
    return text


InterfaceGlob = Annotated[StrictText, AfterValidator(_interface_glob)]


def duplicate_names(given: RawFields, key: str, taken: Iterable[str] = ()) -> Iterator[ValidationFinding]:
    """Yield a fault for each entry whose name occurs earlier in the list or in ``taken``."""
    known = set(taken)
    for index, entry in entries(given, key):
        name = entry.get("name")
        if isinstance(name, str):
            if name in known:
                yield (key, index, "name"), validation_error(f"found {safe_text(name)}, which is taken", "another name")
            known.add(name)


class FeatureGates(DeclaredModel):
    """Features that can be switched off as a whole."""

    node_network_policy: bool = Field(default=True, strict=True, alias="NodeNetworkPolicy")


class LoggingConfig(DeclaredModel):
    """Log destination of rules with ``enableLogging``: ``nflog`` (netlink group) or ``kernel`` (kernel log)."""

    target: Literal["nflog", "kernel"] = "nflog"
    group: Annotated[int, Field(strict=True, ge=0, le=65535)] = 1
    rate: Annotated[StrictText, AfterValidator(_rate)] = "10/second"
    burst: Annotated[int, Field(strict=True, ge=1, le=10000)] = 20

    @model_validator(mode="after")
    def _burst_fits(self) -> "LoggingConfig":
        number, seconds = rate_of(self.rate)
        if self.burst * seconds > number * _LONGEST:
            most = max(number * _LONGEST // seconds, 1)
            raise validation_error(
                f"found burst {self.burst}, which {self.rate} takes more than a day for", f"at most {most}"
            )
        return self


class ICMPv6Protocol(DeclaredModel):
    """One ICMPv6 type, which may be an error type; policies cannot name those."""

    icmp_type: Byte
    icmp_code: Byte | None = None


class PrivilegedProtocol(RuleProtocol):
    """One entry of ``protocols`` of a privileged rule."""

    icmpv6: ICMPv6Protocol | None = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault unless there is exactly one protocol."""
        names = [name for name in ("icmp", "icmpv6", "igmp") if given.get(name) is not None]
        if len(names) != 1:
            problem = f"found {' and '.join(names)} together" if names else "found no protocol"
            yield (), validation_error(problem, "one of icmp, icmpv6, igmp")


class PrivilegedPeer(Peer):
    """One entry of ``from`` or ``to`` of a privileged rule; ``resolvers`` selects the node's DNS servers."""

    resolvers: Literal[True] | None = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault if the criteria cannot be combined."""
        if given.get("resolvers") is None:
            yield from super().across(given)
        elif len(given) > 1:
            yield (), validation_error("found resolvers beside other criteria", "resolvers alone")


class PrivilegedRule(PolicyRule):
    """A rule before all policies: a policy rule with a direction; without ``appliedTo`` it applies to every Node."""

    direction: Literal["Ingress", "Egress"]
    protocols: tuple[PrivilegedProtocol, ...] = ()
    from_: tuple[PrivilegedPeer, ...] = Field(default=(), alias="from")
    to: tuple[PrivilegedPeer, ...] = ()

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield the faults of a policy rule, and peers on the wrong side."""
        yield from super().across(given)
        wrong = {"Ingress": "to", "Egress": "from"}.get(str(given.get("direction")), "")
        if given.get(wrong):
            yield (
                (wrong,),
                validation_error(f"found {wrong} in a rule for {given['direction']}", "peers on the far side"),
            )

    @property
    def peers(self) -> tuple[PrivilegedPeer, ...]:
        """Peers of the rule."""
        return self.from_ or self.to


class PrivilegedRules(CheckedModel):
    """The operator's privileged rules: added to the defaults (``Extend``) or used instead of them (``Replace``)."""

    mode: Literal["Extend", "Replace"] = "Extend"
    rules: tuple[PrivilegedRule, ...] = ()

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault for each duplicate name."""
        yield from duplicate_names(given, "rules", DEFAULT_NAMES if given.get("mode", "Extend") == "Extend" else ())


class InvariantEntry(DeclaredModel):
    """An invariant: packets that match ``where`` at ``hook`` must be accepted or blocked.

    The simulator parses the expression in ``where``.
    """

    name: Annotated[StrictText, Field(min_length=1)]
    hook: Literal["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
    where: StrictText = ""
    must: Literal["accept", "block"]


class GuardConfig(CheckedModel):
    """Invariants that the lockout guard proves for every plan, in addition to the node's lifelines."""

    invariants: tuple[InvariantEntry, ...] = ()

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault for each duplicate name."""
        yield from duplicate_names(given, "invariants")


class Configuration(DeclaredModel):
    """Configuration of policy enforcement on one node; every field has a default."""

    feature_gates: FeatureGates = FeatureGates()
    interfaces: tuple[InterfaceGlob, ...] = ()
    """Globs of interface names; policies apply to traffic on matching interfaces, or on all if empty."""
    privileged_rules: PrivilegedRules = Field(default_factory=PrivilegedRules)
    resolvers: tuple[IPText, ...] | None = None
    """DNS servers of the node; None uses the observed ones."""
    jump_position: Literal["First", "Last"] = "First"
    allow_action: Literal["Accept", "Return"] = "Accept"
    layout: Literal["Linear", "Optimised"] = "Linear"
    enforce_established: Annotated[bool, Field(strict=True)] = False
    logging: LoggingConfig = LoggingConfig()
    backend: Literal["auto", "nft", "legacy"] = "auto"
    families: Annotated[tuple[Family, ...], Field(min_length=1)] = tuple(Family)
    guard: GuardConfig = GuardConfig()

    @model_validator(mode="after")
    def _families_once(self) -> "Configuration":
        if len(set(self.families)) < len(self.families):
            raise validation_error("a family stands twice in families", "each at most once")
        return self

    def effective_rules(self) -> tuple[PrivilegedRule, ...]:
        """Return the privileged rules in evaluation order."""
        extended = self.privileged_rules.mode == "Extend"
        return (*(DEFAULT_RULES if extended else ()), *self.privileged_rules.rules)


_CONTROL_PLANE = [
    {"nodeSelector": {"matchExpressions": [{"key": key, "operator": "Exists"}]}}
    for key in ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
]
_NODES: list[dict[str, object]] = [{"nodeSelector": {}}]
_DISCOVERY = [{"icmp": {"icmpType": kind}} for kind in (133, 134, 135, 136)]  # RFC 4861
_LISTENER = [{"icmp": {"icmpType": kind}} for kind in (130, 131, 132, 143)]  # RFC 2710, RFC 3810
_PATH_MTU = [{"icmp": {"icmpType": 3, "icmpCode": 4}}, {"icmpv6": {"icmpType": 2}}]  # RFC 1191, RFC 8201


def _udp(source: int, port: int) -> dict[str, object]:
    return {"protocol": "UDP", "sourcePort": source, "port": port}


_API_SERVER = [{"port": 6443}]
_KUBELET = [{"port": 10250}]
_ETCD = [{"port": 2379, "endPort": 2380}]
_DNS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]

_ROWS: tuple[tuple[str, dict[str, object]], ...] = (
    ("neighbour-discovery-in", {"protocols": _DISCOVERY}),
    ("neighbour-discovery-out", {"protocols": _DISCOVERY}),
    ("multicast-listener-in", {"protocols": _LISTENER}),
    ("multicast-listener-out", {"protocols": _LISTENER}),
    ("path-mtu-in", {"protocols": _PATH_MTU}),
    ("path-mtu-out", {"protocols": _PATH_MTU}),
    ("dhcp-answer-in", {"ports": [_udp(67, 68), _udp(547, 546)]}),  # RFC 2131, RFC 8415
    ("dhcp-request-out", {"ports": [_udp(68, 67), _udp(546, 547)]}),
    ("api-server-out", {"ports": _API_SERVER, "to": _CONTROL_PLANE}),
    ("kubelet-in", {"ports": _KUBELET, "from": _CONTROL_PLANE}),
    ("api-server-in", {"ports": _API_SERVER, "from": _NODES, "appliedTo": _CONTROL_PLANE}),
    ("kubelet-out", {"ports": _KUBELET, "to": _NODES, "appliedTo": _CONTROL_PLANE}),
    ("etcd-in", {"ports": _ETCD, "from": _CONTROL_PLANE, "appliedTo": _CONTROL_PLANE}),
    ("etcd-out", {"ports": _ETCD, "to": _CONTROL_PLANE, "appliedTo": _CONTROL_PLANE}),
    ("dns-out", {"ports": _DNS, "to": [{"resolvers": True}]}),
)

DEFAULT_NAMES = tuple(name for name, _ in _ROWS)

DEFAULT_RULES = tuple(
    PrivilegedRule.model_validate(
        {"name": name, "action": "Allow", "direction": "Ingress" if name.endswith("-in") else "Egress", **row}
    )
    for name, row in _ROWS
)
"""Default privileged rules: the least that keeps a node reachable by its cluster (Antrea issue 5671).

Loopback and established traffic are not listed: they are the first rules of every compiled chain.
"""

DEFAULT_CONFIGURATION = Configuration()


def _recorded(config: Configuration, plain: SerializerFunctionWrapHandler) -> dict[str, object]:
    found: dict[str, object] = plain(config)
    for name in ("guard", "layout"):
        if getattr(config, name) == getattr(DEFAULT_CONFIGURATION, name):
            del found[name]
    return found


RecordedConfiguration = Annotated[Configuration, WrapSerializer(_recorded)]
"""Configuration as stored in events: fields added later are left out at their default, so hashes stay the same."""
