"""Builders and hypothesis strategies for objects, rules and rulesets, and a scratch network namespace."""

import os
import shutil
import string
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager as Context
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import strategies as st

from engine.events import declaration_of
from engine.ip_types import Network
from engine.objects import ClusterNetworkPolicy, ClusterObject, Node, Tier
from engine.policy.completed_rules import Action, CompletedRule, Direction, Rank, Traffic
from engine.policy.prefix_sets import AddressBlock
from engine.rulesets.model import Chain, Family, IpSet, Match, Member, Rule, Ruleset, Table, Target
from engine.state.fold import ClusterState, evolve

NAMES = st.text(string.ascii_letters + string.digits + "_-.:", min_size=1, max_size=8).map(lambda text: f"n{text}")
"""Strategy for names of chains and sets without blanks."""

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"

Json = Mapping[str, object]

# Objects


def policy(
    name: str, *, ingress: Iterable[Json] = (), egress: Iterable[Json] = (), **spec: object
) -> ClusterNetworkPolicy:
    """Return a policy; by default it applies to every Node with priority 5."""
    document = {"priority": 5.0, "appliedTo": [{"nodeSelector": {}}], "ingress": list(ingress), "egress": list(egress)}
    return ClusterNetworkPolicy.model_validate(
        {
            "apiVersion": "crd.antrea.io/v1beta1",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": name},
            "spec": {**document, **spec},
        }
    )


def node(name: str, *addresses: str, labels: Mapping[str, str] | None = None) -> Node:
    """Return a Node; an address is an InternalIP, or an ExternalIP if it begins with ``+``."""
    found = [
        {"type": "ExternalIP" if text.startswith("+") else "InternalIP", "address": text.lstrip("+")}
        for text in addresses
    ]
    return Node.model_validate(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": dict(labels or {})},
            "status": {"addresses": [{"type": "Hostname", "address": name}, *found]},
        }
    )


def tier(name: str, priority: int) -> Tier:
    """Return a tier."""
    return Tier.model_validate(
        {
            "apiVersion": "crd.antrea.io/v1beta1",
            "kind": "Tier",
            "metadata": {"name": name},
            "spec": {"priority": priority},
        }
    )


def world(*objects: ClusterObject) -> ClusterState:
    """Return the state after the objects were declared in this order."""
    state = ClusterState()
    for item in objects:
        state = evolve(state, declaration_of(item))
    return state


def cidr(text: str) -> Json:
    """Return a peer with one block of addresses."""
    return {"ipBlock": {"cidr": text}}


# Completed rules


def block(text: str, *excepted: str) -> AddressBlock:
    """Return a block of addresses without the excepted networks."""
    return AddressBlock(ip_network(text), tuple(ip_network(net) for net in excepted))


def completed(
    name: str,
    *peers: str,
    direction: Direction = Direction.INGRESS,
    action: Action = Action.DROP,
    services: tuple[Traffic, ...] = (),
    priority: float = 1.0,
) -> CompletedRule:
    """Return a rule of a policy of that name; without peers it applies to any address."""
    found: tuple[AddressBlock, ...] | None = tuple(block(text) for text in peers) or None
    return CompletedRule(name, "r", Rank(250, priority, name, 0), direction, action, found, services)


# Chains and rules


def comment(text: str) -> Match:
    """Return a comment match."""
    return Match("comment", "comment", (text,))


def kernel_rule(target: str, *matches: Match, told: str = "") -> Rule:
    """Return a rule; ``told`` is its comment."""
    return Rule((*matches, *((comment(told),) if told else ())), Target(target))


def arranged(ruleset: Ruleset) -> Ruleset:
    """Return the ruleset with tables and chains sorted by name, without empty tables."""
    ipv4, ipv6 = (
        tuple(
            replace(table, chains=tuple(sorted(table.chains, key=lambda chain: chain.name)))
            for table in sorted(ruleset.tables(family), key=lambda table: table.name)
            if table.chains
        )
        for family in Family
    )
    return Ruleset(ipv4, ipv6, tuple(sorted(ruleset.sets)))


# Strategies

_BASE = {Family.IPV4: (ip_network("10.0.0.0/29"), 32), Family.IPV6: (ip_network("fd00::/125"), 128)}


def _universe(family: Family) -> list[Network]:
    base, width = _BASE[family]
    first = int(base.network_address)
    lengths = (1, 2, 8, width - 4, width - 3, width - 2, width - 1, width)
    found = {
        type(base)(((first + offset) >> (width - length) << (width - length), length))
        for offset in range(16)
        for length in lengths
    }
    return sorted(found, key=lambda net: (net.prefixlen, int(net.network_address)))


_UNIVERSE = {family: _universe(family) for family in Family}


def networks(family: Family) -> st.SearchStrategy[Network]:
    """Draw one of a few prefixes that often contain each other: from ``/1`` to hosts, near sixteen addresses."""
    return st.sampled_from(_UNIVERSE[family])


def blocks(family: Family) -> st.SearchStrategy[AddressBlock]:
    """Draw a block, sometimes ``/0``, with some of those prefixes inside it as exceptions."""
    whole = ip_network("0.0.0.0/0" if family is Family.IPV4 else "::/0")

    def with_excepts(network: Network) -> st.SearchStrategy[AddressBlock]:
        inside = [net for net in _UNIVERSE[family] if net.prefixlen > network.prefixlen and _inside(net, network)]
        some = st.lists(st.sampled_from(inside), max_size=3, unique=True) if inside else st.just([])
        return some.map(lambda nets: AddressBlock(network, tuple(sorted(nets, key=str))))

    return st.one_of(networks(family), st.just(whole)).flatmap(with_excepts)


def _inside(inner: Network, outer: Network) -> bool:
    shift = outer.max_prefixlen - outer.prefixlen
    return int(inner.network_address) >> shift == int(outer.network_address) >> shift


_MEMBERS = {
    Family.IPV4: ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "192.0.2.1", "0.0.0.0/1"),
    Family.IPV6: ("fd00::/8", "fd00:1::/32", "fd00:1::1", "2001:db8::/32", "::/1"),
}
SET_OPTIONS = (("maxelem", "65536"),)


def set_name(family: Family, letter: str) -> str:
    """Return the name of an own set."""
    return f"nw-{4 if family is Family.IPV4 else 6}-{letter}"


@st.composite
def sets_of(draw: st.DrawFn, family: Family) -> tuple[IpSet, ...]:
    """Draw up to three sets of one family, with few different members, some of them ``nomatch``."""
    letters = draw(st.sets(st.sampled_from("abc")))
    return tuple(
        IpSet(set_name(family, letter), "hash:net", family, draw(_members(family)), SET_OPTIONS)
        for letter in sorted(letters)
    )


@st.composite
def _members(draw: st.DrawFn, family: Family) -> tuple[Member, ...]:
    flags = draw(st.dictionaries(st.sampled_from(_MEMBERS[family]), st.booleans(), max_size=4))
    return tuple(sorted((element, "nomatch") if no else (element,) for element, no in flags.items()))


_PORT = Match("", "protocol", ("tcp",)), Match("tcp", "dport", ("22",))
_TOLD = ("", "a", "nodewall p/r", 'he said "no" \\ or not, it\'s !', "-x")


@st.composite
def rules_of(draw: st.DrawFn, family: Family, sets: tuple[IpSet, ...], chains: tuple[str, ...]) -> tuple[Rule, ...]:
    """Draw a few rules, many of them equal, on these sets and with jumps to these chains."""
    named = [Match("set", "match-set", (item.name, "src")) for item in sets if item.family is family]
    extra: list[tuple[Match, ...]] = [(), _PORT, *((match,) for match in named)]
    pool = [
        kernel_rule(target, *matches, told=told)
        for target in ("ACCEPT", "DROP", "RETURN", *chains)
        for matches in extra
        for told in _TOLD
    ]
    return tuple(draw(st.lists(st.sampled_from(pool), max_size=5)))


@st.composite
def _table(draw: st.DrawFn, family: Family, sets: tuple[IpSet, ...], name: str, hooks: tuple[str, ...]) -> Table:
    # A chain jumps only to later chains, because the kernel refuses loops; the order differs from state to state.
    order = draw(st.permutations(["NW-INPUT", "NW-OUTPUT", "NW-A", "NW-B"]))
    names = tuple(order[: draw(st.integers(0, 4))])
    chains = [Chain(chain, draw(rules_of(family, sets, names[at + 1 :]))) for at, chain in enumerate(names)]
    if names:
        jump = st.sampled_from([kernel_rule(chain, told=told) for chain in names for told in ("nodewall", "")])
        jumps = [Chain(hook, tuple(draw(st.lists(jump, max_size=2)))) for hook in hooks]
        chains += [chain for chain in jumps if chain.rules]
    return Table(name, tuple(chains))


@st.composite
def owned_rulesets(draw: st.DrawFn) -> Ruleset:
    """Draw a ruleset that nodewall might own: chains with jumps in two tables of both families, and sets."""
    sets = tuple(item for family in Family for item in draw(sets_of(family)))
    ipv4, ipv6 = (
        (
            draw(_table(family, sets, "filter", ("INPUT", "OUTPUT"))),
            draw(_table(family, sets, "mangle", ("PREROUTING",))),
        )
        for family in Family
    )
    return arranged(Ruleset(ipv4, ipv6, sets))


FOREIGN = (
    kernel_rule("ACCEPT", Match("", "source", ("192.0.2.7/32",)), told="not ours"),
    kernel_rule("DROP", *_PORT),
    kernel_rule("ACCEPT"),
)


@st.composite
def observed_rulesets(draw: st.DrawFn) -> Ruleset:
    """Draw an observed ruleset: an own one, with foreign rules, chains and sets."""
    ours = draw(owned_rulesets())

    def mixed(chain: Chain) -> Chain:
        if chain.owned:
            return chain
        return replace(chain, rules=tuple(draw(st.permutations([*chain.rules, *FOREIGN]))), policy="ACCEPT")

    def with_others(table: Table) -> Table:
        return replace(table, chains=(*(mixed(chain) for chain in table.chains), Chain("OTHER", FOREIGN[:1])))

    other = IpSet("other", "hash:ip", Family.IPV4, (("192.0.2.9",),), SET_OPTIONS)
    ipv4, ipv6 = (tuple(with_others(table) for table in ours.tables(family)) for family in Family)
    return Ruleset(ipv4, ipv6, (*ours.sets, other))


# A scratch network namespace


def required() -> bool:
    """Return True if a kernel test that cannot run is a failure."""
    return bool(os.environ.get("NODEWALL_REQUIRE_KERNEL"))


@contextmanager
def scratch_namespace(label: str) -> Iterator[str]:
    """Create a network namespace and delete it afterwards; skip the test if that fails, unless it is required."""
    name = f"nwtest-{label}-{os.getpid()}"
    ip = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    made = ip and subprocess.run([ip, "netns", "add", name], capture_output=True, text=True, check=False)
    if not made or made.returncode:
        reason = f"no network namespace: {made.stderr.strip() if made else 'no program ip'}"
        (pytest.fail if required() else pytest.skip)(reason)
    try:
        yield name
    finally:
        subprocess.run([str(ip), "netns", "delete", name], check=True)


class NullWatch:
    """Stopwatch that measures nothing."""

    def stage(self, name: str) -> Context[None]:  # noqa: ARG002  # the interface has the name
        """Return a context that does nothing."""
        return nullcontext()
