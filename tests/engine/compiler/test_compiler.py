"""From effective rules to chains and sets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compiler import compile_rules
from engine.events import declaration_of
from engine.objects import ClusterNetworkPolicy, ClusterObject
from engine.policy.completed_rules import ANY_PORT, STATIC_POLICY, Action, CompletedRule, Direction, Protocol, Traffic
from engine.policy.resolve import resolve
from engine.rulesets.diff import MemberAdded, diff
from engine.rulesets.model import Family, Rule, Ruleset
from engine.rulesets.ownership import comment_of, owner_of
from engine.rulesets.plan import make_plan
from engine.rulesets.text import render_rule, render_sets, render_tables
from engine.rulesets.text.operations import ops_of
from engine.state.fold import ClusterState, evolve
from tests.support.rulesets.ruleset_builders import Json, block, cidr, completed, node, policy, tier, world

TCP22 = Traffic(Protocol.TCP, (22, 22))
NAMES = {Direction.INGRESS: "NW-INPUT", Direction.EGRESS: "NW-OUTPUT"}


def rules_of(
    ruleset: Ruleset, family: Family = Family.IPV4, direction: Direction = Direction.INGRESS
) -> tuple[Rule, ...]:
    """The rules of one direction."""
    chain = ruleset.table(family, "filter").chain(NAMES[direction])
    assert chain is not None
    return chain.rules


def lines(*rules: CompletedRule, family: Family = Family.IPV4, direction: Direction = Direction.INGRESS) -> list[str]:
    """The compiled rules behind the first two, as text without their comments."""
    found = rules_of(compile_rules(rules), family, direction)[2:]
    return [
        render_rule(replace(rule, matches=tuple(m for m in rule.matches if m.module != "comment"))).strip()
        for rule in found
    ]


def test_nothing_is_loopback_and_established() -> None:
    """Without rules each direction still lets loopback and known connections pass, in both families."""
    for family in Family:
        text = render_tables(compile_rules(()).tables(family))
        assert text == (
            "*filter\n"
            ":INPUT - [0:0]\n:OUTPUT - [0:0]\n:NW-INPUT - [0:0]\n:NW-OUTPUT - [0:0]\n"
            "-A INPUT -m comment --comment nodewall -j NW-INPUT\n"
            "-A OUTPUT -m comment --comment nodewall -j NW-OUTPUT\n"
            '-A NW-INPUT -i lo -m comment --comment "nodewall (static)/loopback" -j ACCEPT\n'
            '-A NW-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment "nodewall (static)/established" -j ACCEPT\n'
            '-A NW-OUTPUT -o lo -m comment --comment "nodewall (static)/loopback" -j ACCEPT\n'
            '-A NW-OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment "nodewall (static)/established" -j ACCEPT\n'
            "COMMIT\n"
        )


def test_static_rules_come_first() -> None:
    """In every chain the rules of policies stand behind all that keeps the node reachable."""
    drop = {"action": "Drop"}
    state = world(node("n1", "10.0.0.1"), tier("t", 0), policy("p", tier="t", ingress=[drop], egress=[drop]))
    compiled = compile_rules(resolve(state, "n1"))
    for family in Family:
        for direction in Direction:
            owners = [owner_of(rule.comment) for rule in rules_of(compiled, family, direction)]
            static = [owner is not None and owner[0] == STATIC_POLICY for owner in owners]
            assert static == sorted(static, reverse=True)
            assert static.count(False) == 1


@pytest.mark.parametrize(
    "services,v4,v6",
    [
        (
            (),
            ["-p tcp -j REJECT --reject-with tcp-reset", "-j REJECT --reject-with icmp-admin-prohibited"],
            ["-p tcp -j REJECT --reject-with tcp-reset", "-j REJECT --reject-with icmp6-adm-prohibited"],
        ),
        (
            (TCP22,),
            ["-p tcp -m tcp --dport 22 -j REJECT --reject-with tcp-reset"],
            ["-p tcp -m tcp --dport 22 -j REJECT --reject-with tcp-reset"],
        ),
        (
            (Traffic(Protocol.UDP, (53, 53)),),
            ["-p udp -m udp --dport 53 -j REJECT --reject-with icmp-admin-prohibited"],
            ["-p udp -m udp --dport 53 -j REJECT --reject-with icmp6-adm-prohibited"],
        ),
        (
            (Traffic(Protocol.SCTP),),
            ["-p sctp -j REJECT --reject-with icmp-admin-prohibited"],
            ["-p sctp -j REJECT --reject-with icmp6-adm-prohibited"],
        ),
    ],
)
@pytest.mark.parametrize("direction", list(Direction))
def test_a_rejection_fits_protocol_and_family(
    services: tuple[Traffic, ...], v4: list[str], v6: list[str], direction: Direction
) -> None:
    """TCP is reset, all else gets the family's ICMP error, in both directions."""
    rule = completed("p", action=Action.REJECT, services=services, direction=direction)
    assert lines(rule, direction=direction) == v4
    assert lines(rule, family=Family.IPV6, direction=direction) == v6


@pytest.mark.parametrize(
    "services,expected",
    [
        ((TCP22,), ["-p tcp -m tcp --dport 22 -j DROP"]),
        ((Traffic(Protocol.TCP, (80, 90)),), ["-p tcp -m tcp --dport 80:90 -j DROP"]),
        ((Traffic(Protocol.TCP, (80, 90)), Traffic(Protocol.TCP, (85, 100))), ["-p tcp -m tcp --dport 80:100 -j DROP"]),
        ((TCP22, Traffic(Protocol.TCP, (80, 81))), ["-p tcp -m multiport --dports 22,80:81 -j DROP"]),
        ((Traffic(Protocol.TCP), TCP22), ["-p tcp -j DROP"]),
        ((Traffic(Protocol.TCP, ANY_PORT, (5, 6)),), ["-p tcp -m tcp --sport 5:6 -j DROP"]),
        ((Traffic(Protocol.UDP, (53, 53), (5, 6)),), ["-p udp -m udp --sport 5:6 --dport 53 -j DROP"]),
        (
            (Traffic(Protocol.UDP, (53, 53)), TCP22),
            ["-p tcp -m tcp --dport 22 -j DROP", "-p udp -m udp --dport 53 -j DROP"],
        ),
        ((Traffic(Protocol.ICMP, icmp=(8, 0)),), ["-p icmp -m icmp --icmp-type 8/0 -j DROP"]),
        ((Traffic(Protocol.ICMP, icmp=(3, -1)),), ["-p icmp -m icmp --icmp-type 3 -j DROP"]),
        ((Traffic(Protocol.ICMP),), ["-p icmp -j DROP"]),
        ((Traffic(Protocol.ICMPV6),), []),
    ],
)
def test_services_become_matches(services: tuple[Traffic, ...], expected: list[str]) -> None:
    """Protocols, ports, ranges, source ports and ICMP types become the matches of iptables."""
    assert lines(completed("p", services=services)) == expected


def test_icmpv6_is_for_ipv6_alone() -> None:
    """ICMPv6 makes no IPv4 rule, and its own names in IPv6; ip6tables has no type ``any``."""
    rule = completed("p", services=(Traffic(Protocol.ICMPV6, icmp=(135, -1)), Traffic(Protocol.ICMPV6)))
    assert lines(rule) == []
    wanted = ["-p ipv6-icmp -j DROP", "-p ipv6-icmp -m icmp6 --icmpv6-type 135 -j DROP"]
    assert sorted(lines(rule, family=Family.IPV6)) == wanted


RANGES = st.tuples(st.integers(1, 400), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(RANGES, min_size=1, max_size=60))
def test_multiport_covers_exactly_the_declared_ports(ranges: list[tuple[int, int]]) -> None:
    """However many ports are declared, no rule holds more than 15 places and together they hold just those ports."""
    services = tuple(Traffic(Protocol.TCP, ports) for ports in ranges)
    covered: list[int] = []
    found = rules_of(compile_rules([completed("p", services=services)]))[2:]
    for rule in found:
        text = rule.value_of("multiport", "dports") or rule.value_of("tcp", "dport")
        assert text is not None
        spans = [span.partition(":") for span in text.split(",")]
        assert sum(2 if colon else 1 for _, colon, _ in spans) <= 15
        for first, _, last in spans:
            covered += range(int(first), int(last or first) + 1)
    assert len(set(covered)) == len(covered)
    assert set(covered) == {port for first, last in ranges for port in range(first, last + 1)}
    assert [len((rule.value_of("multiport", "dports") or "").split(",")) > 6 for rule in found[:-1]] == [True] * len(
        found[:-1]
    )


def test_peers_of_one_family_make_no_rule_of_the_other() -> None:
    """A rule about addresses of one family has a set and a rule there, and nothing in the other."""
    rule = completed("p", "10.0.0.0/8")
    (line,) = lines(rule)
    assert line.startswith("-m set --match-set nw-4-")
    assert line.endswith(" src -j DROP")
    assert lines(rule, family=Family.IPV6) == []
    assert [item.family for item in compile_rules([rule]).sets] == [Family.IPV4]


def test_nobody_makes_no_rule() -> None:
    """A rule whose peers resolved to nobody is in no chain: it never widens to anywhere."""
    nobody = replace(completed("p"), peers=())
    assert compile_rules([nobody]) == compile_rules([])


def test_what_is_wholly_excepted_still_has_its_set() -> None:
    """An exception becomes a member that says no match."""
    rule = replace(completed("p"), peers=(block("10.0.0.0/8", "10.1.0.0/16", "10.2.0.1/32"),))
    (item,) = compile_rules([rule]).sets
    assert item.members == (("10.0.0.0/8",), ("10.1.0.0/16", "nomatch"), ("10.2.0.1", "nomatch"))
    assert item.options == (("maxelem", "1048576"),)


def test_egress_looks_at_the_destination() -> None:
    """Egress is judged by where packets go."""
    rule = completed("p", "fd00::/8", direction=Direction.EGRESS)
    (line,) = lines(rule, family=Family.IPV6, direction=Direction.EGRESS)
    assert line.endswith(" dst -j DROP")


def test_everything_of_both_families_fits_sets() -> None:
    """All of IPv4 and all of IPv6 are two halves each, as no set holds ``/0``."""
    sets = compile_rules([completed("p", "0.0.0.0/0", "::/0")]).sets
    assert [item.members for item in sets] == [(("0.0.0.0/1",), ("128.0.0.0/1",)), (("8000::/1",), ("::/1",))]


LONG = ".".join(["a" * 63] * 4)[:253]


@pytest.mark.parametrize("name", ["p", LONG, LONG[:-1] + "b"])
@pytest.mark.parametrize("rule_name", ["r", "x" * 63, "a/b c"])
def test_names_fit_the_kernel(name: str, rule_name: str) -> None:
    """Names of sets and comments fit, however long names of policies and rules are."""
    rule = replace(completed(name, "10.0.0.0/8", "fd00::/8"), name=rule_name)
    compiled = compile_rules([rule])
    assert len(compiled.sets) == 2
    assert all(len(item.name) <= 31 and item.owned for item in compiled.sets)
    comments = [r.comment for family in Family for r in rules_of(compiled, family)]
    assert all(len(text.encode()) <= 255 for text in comments)
    owner = owner_of(comments[2])
    assert owner is not None
    assert owner[1] == rule_name


def test_long_names_stay_apart() -> None:
    """Long names that differ only at their end have comments and sets of their own."""
    other = LONG[:-1] + "b"
    assert comment_of(LONG, "x" * 63) != comment_of(other, "x" * 63)
    sets = compile_rules([completed(LONG, "10.0.0.0/8"), completed(other, "10.0.0.0/8")]).sets
    assert len({item.name for item in sets}) == 2


@pytest.mark.parametrize("comment", ["", "nodewall", "other p/r", "nodewall p", "nodewall /r", "nodewall p/"])
def test_a_comment_may_name_nobody(comment: str) -> None:
    """Comments that nodewall did not write for a rule name no owner."""
    assert owner_of(comment) is None


def drop(*peers: str, **more: object) -> dict[str, object]:
    """An ingress rule."""
    return {"action": "Drop", "from": [cidr(text) for text in peers], **more}


OBJECTS: tuple[ClusterObject, ...] = (
    node("n1", "10.0.0.1", "fd00::1", labels={"a": "b"}),
    node("n2", "10.0.0.2", labels={"node-role.kubernetes.io/control-plane": ""}),
    tier("t", 3),
    policy("p", ingress=[drop("10.0.0.0/8", "fd00::/8"), drop("10.1.0.0/16"), {"action": "Allow"}]),
    policy("q", egress=[{"action": "Reject", "to": [{"nodeSelector": {}}], "ports": [{"port": 1}, {"port": 3}]}]),
    policy("r", tier="t", ingress=[drop("192.0.2.0/24", ports=[{"protocol": "UDP"}])]),
)


def compiled(state: ClusterState) -> Ruleset:
    """What the first node gets."""
    return compile_rules(resolve(state, "n1"))


def text_of(ruleset: Ruleset) -> str:
    """A ruleset as the tools read it."""
    return render_sets(ruleset.sets) + render_tables(ruleset.ipv4) + render_tables(ruleset.ipv6)


@given(st.permutations(OBJECTS), st.lists(st.sampled_from(OBJECTS)))
def test_the_same_state_is_the_same_bytes(objects: list[ClusterObject], earlier: list[ClusterObject]) -> None:
    """However the events came, and came again, the same state makes the same text."""
    assert text_of(compiled(world(*earlier, *objects))) == text_of(compiled(world(*OBJECTS)))


def numbered(priority: float) -> ClusterNetworkPolicy:
    """A policy of its own priority, with a rule for each direction."""
    name = f"p-{int(priority)}"
    return policy(name, priority=priority, ingress=[drop("10.0.0.0/8")], egress=[{"action": "Drop"}])


def test_a_policy_between_two_others_changes_only_its_own() -> None:
    """A policy that comes between two others makes only its own set, members and rules, in both directions."""
    state = world(node("n1", "10.0.0.1"), *map(numbered, (1.0, 2.0, 4.0, 5.0)))
    between = evolve(state, declaration_of(numbered(3.0)))
    changes = diff(compiled(state), compiled(between))
    ops = ops_of(make_plan(changes))
    assert [(op.tool, op.op) for op in ops] == [
        ("ipset", "create"),
        ("ipset", "add"),
        ("iptables", "insert"),
        ("iptables", "insert"),
        ("ip6tables", "insert"),
    ]
    assert all("p-3/" in op.detail for op in ops if op.op == "insert")
    assert len(diff(compiled(between), compiled(state))) == 4  # a set takes its members with it


@pytest.mark.parametrize("more", ["192.0.2.0/24", "10.1.0.0/16", "198.51.100.1/32", "2001:db8::/32"])
def test_one_more_block_is_one_operation(more: str) -> None:
    """One more block among a rule's peers is one more member, and nothing else."""
    before = policy("p", ingress=[drop("10.0.0.0/8", "fd00::/8"), drop("10.2.0.0/16")])
    after = policy("p", ingress=[drop("10.0.0.0/8", "fd00::/8", more), drop("10.2.0.0/16")])
    alone = node("n1", "10.0.0.1")
    (change,) = diff(compiled(world(alone, before)), compiled(world(alone, after)))
    assert isinstance(change, MemberAdded)
    assert change.member == (more.removesuffix("/32") if "." in more else more,)


def test_a_rule_of_its_own_stays_when_another_goes() -> None:
    """Rules that are named keep their sets when one before them goes."""
    first, second = drop("10.0.0.0/8", name="a"), drop("10.1.0.0/16", name="b")
    alone = node("n1", "10.0.0.1")
    before, after = policy("p", ingress=[first, second]), policy("p", ingress=[second])
    ops = ops_of(make_plan(diff(compiled(world(alone, before)), compiled(world(alone, after)))))
    assert [op.op for op in ops] == ["delete", "destroy"]


def test_rules_for_pods_are_left_to_their_data_plane() -> None:
    """A policy for Pods, alone or beside Nodes, adds nothing to what its entries for Nodes compile to."""
    web = node("web", "192.0.2.1")
    rule = {"action": "Drop", "from": [cidr("10.0.0.0/8")]}
    entries: list[Json] = [{"nodeSelector": {}}, {"podSelector": {}}]
    compiled = [
        compile_rules(resolve(world(web, *policies), "web"))
        for policies in (
            (),
            (policy("p", ingress=[rule], appliedTo=entries[1:]),),
            (policy("p", ingress=[rule], appliedTo=entries[:1]),),
            (policy("p", ingress=[rule], appliedTo=entries),),
        )
    ]
    assert compiled[0] == compiled[1] != compiled[2] == compiled[3]
