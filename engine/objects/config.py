"""The configuration of a node, ``nodewall.yaml``: what is managed, how, and what comes ahead of every policy.

Models only; where values come from (file, environment) is the business of :mod:`adapters`. The privileged rules are
written in the language of policies, so that they can be shown, copied and replaced.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, WrapSerializer, model_validator

from engine.errors import shown
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
from engine.validation_errors import finding

_RATE = re.compile(r"([1-9][0-9]{0,4})/(second|minute|hour|day)")
_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_LONGEST = 86400  # seconds in which xt_limit can count up a burst
_LIMIT_SCALE = 10000  # xt_limit counts in ten-thousandths of a second
_GLOB = re.compile(r"[A-Za-z0-9_.:@*?\[\]!^-]{1,63}")


def _rate(text: str) -> str:
    if not _RATE.fullmatch(text):
        raise finding(f"found {shown(text)}", "a rate such as 10/second or 100/minute")
    number, seconds = rate_of(text)
    scale = seconds * _LIMIT_SCALE
    if number > scale or scale // (scale // number) != number:
        kept = scale // max(scale // number, 1)
        unit = text.partition("/")[2]
        raise finding(f"found {shown(text)}, which the kernel would round", f"{kept}/{unit}, or another that it keeps")
    return text


def rate_of(text: str) -> tuple[int, int]:
    """Return how many times in how many seconds a sound rate allows."""
    number, _, unit = text.partition("/")
    return int(number), _PERIODS[unit]


def _interface_glob(text: str) -> str:
    if not _GLOB.fullmatch(text):
        raise finding(f"found {shown(text)}", "a name or a glob of interfaces, such as eth* or ens160")
    return text


InterfaceGlob = Annotated[StrictText, AfterValidator(_interface_glob)]


def taken_names(given: RawFields, key: str, taken: Iterable[str] = ()) -> Iterator[ValidationFinding]:
    """Yield the names of a list's entries that are taken already, by those before them or by others."""
    known = set(taken)
    for index, entry in entries(given, key):
        name = entry.get("name")
        if isinstance(name, str):
            if name in known:
                yield (key, index, "name"), finding(f"found {shown(name)}, which is taken", "another name")
            known.add(name)


class FeatureGates(DeclaredModel):
    """What is switched on at all."""

    node_network_policy: bool = Field(default=True, strict=True, alias="NodeNetworkPolicy")


class LoggingConfig(DeclaredModel):
    """Where rules with ``enableLogging`` log: ``nflog`` to a netlink group, ``kernel`` to the kernel's log."""

    target: Literal["nflog", "kernel"] = "nflog"
    group: Annotated[int, Field(strict=True, ge=0, le=65535)] = 1
    rate: Annotated[StrictText, AfterValidator(_rate)] = "10/second"
    burst: Annotated[int, Field(strict=True, ge=1, le=10000)] = 20

    @model_validator(mode="after")
    def _burst_fits(self) -> "LoggingConfig":
        number, seconds = rate_of(self.rate)
        if self.burst * seconds > number * _LONGEST:
            most = max(number * _LONGEST // seconds, 1)
            raise finding(f"found burst {self.burst}, which {self.rate} takes more than a day for", f"at most {most}")
        return self


class ICMPv6Protocol(DeclaredModel):
    """One type of ICMPv6, also of its errors, which no policy can name."""

    icmp_type: Byte
    icmp_code: Byte | None = None


class PrivilegedProtocol(RuleProtocol):
    """One entry of ``protocols`` of a privileged rule."""

    icmpv6: ICMPv6Protocol | None = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield what is wrong with the number of protocols."""
        names = [name for name in ("icmp", "icmpv6", "igmp") if given.get(name) is not None]
        if len(names) != 1:
            problem = f"found {' and '.join(names)} together" if names else "found no protocol"
            yield (), finding(problem, "one of icmp, icmpv6, igmp")


class PrivilegedPeer(Peer):
    """One entry of ``from`` or ``to`` of a privileged rule; ``resolvers`` are the DNS servers the node uses."""

    resolvers: Literal[True] | None = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield what is wrong with the number of criteria."""
        if given.get("resolvers") is None:
            yield from super().across(given)
        elif len(given) > 1:
            yield (), finding("found resolvers beside other criteria", "resolvers alone")


class PrivilegedRule(PolicyRule):
    """A rule ahead of every policy: a policy's rule with its direction; without ``appliedTo`` for every Node."""

    direction: Literal["Ingress", "Egress"]
    protocols: tuple[PrivilegedProtocol, ...] = ()
    from_: tuple[PrivilegedPeer, ...] = Field(default=(), alias="from")
    to: tuple[PrivilegedPeer, ...] = ()

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield what a policy's rule may not be either, and peers on the wrong side."""
        yield from super().across(given)
        wrong = {"Ingress": "to", "Egress": "from"}.get(str(given.get("direction")), "")
        if given.get(wrong):
            yield (wrong,), finding(f"found {wrong} in a rule for {given['direction']}", "peers on the far side")

    @property
    def peers(self) -> tuple[PrivilegedPeer, ...]:
        """The far ends."""
        return self.from_ or self.to


class PrivilegedRules(CheckedModel):
    """Rules of one's own: after the defaults (``Extend``), or instead of them (``Replace``)."""

    mode: Literal["Extend", "Replace"] = "Extend"
    rules: tuple[PrivilegedRule, ...] = ()

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield names that are taken."""
        yield from taken_names(given, "rules", DEFAULT_NAMES if given.get("mode", "Extend") == "Extend" else ())


class InvariantEntry(DeclaredModel):
    """What shall become of the packets that an expression means, at a hook; what it says is known to the simulator."""

    name: Annotated[StrictText, Field(min_length=1)]
    hook: Literal["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
    where: StrictText = ""
    must: Literal["accept", "block"]


class GuardConfig(CheckedModel):
    """What the lockout guard proves of every plan beside the node's lifelines."""

    invariants: tuple[InvariantEntry, ...] = ()

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield names that stand twice."""
        yield from taken_names(given, "invariants")


class Configuration(DeclaredModel):
    """How one node enforces policies; every field has a default."""

    feature_gates: FeatureGates = FeatureGates()
    interfaces: tuple[InterfaceGlob, ...] = ()
    """Globs; policies apply to traffic of the interfaces that match one, of all where there is none."""
    privileged_rules: PrivilegedRules = Field(default_factory=PrivilegedRules)
    resolvers: tuple[IPText, ...] | None = None
    """The DNS servers of the node; where absent, those it is seen to use."""
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
            raise finding("a family stands twice in families", "each at most once")
        return self

    def effective_rules(self) -> tuple[PrivilegedRule, ...]:
        """Return the rules ahead of every policy, in order."""
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
"""What keeps a node reachable by its cluster, and no wider; Antrea issue 5671 asks for such rules.

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
"""A configuration as events hold it: keys that came later are left out where they say nothing, so hashes stay."""
