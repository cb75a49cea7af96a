"""``plan``, ``apply`` and ``remove`` bring a real kernel where they say, by no more than it takes, or leave it alone."""

from pathlib import Path

import pytest

from adapters.lab.packet_injection import InjectionRig
from adapters.netfilter.backend_name import BackendName
from adapters.system.netns_sockets import DeliveryOutcome
from engine.objects import ClusterObject
from engine.rulesets.model import Family, Hook
from simulator.packets import parse_spec, to_wire
from tests.support.kernel.node_namespaces import API, WORLD, NodeUnderTest, allow, drop_all, many, set_of
from tests.support.policies.random_clusters import ADDRESSES
from tests.support.rulesets.ruleset_builders import Json, cidr, policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]


# Nothing to do, and repairs


def test_a_second_apply_has_nothing_to_do(busy: NodeUnderTest) -> None:
    """A second apply of the same world has 0 ops, and leaves every text as it was."""
    assert busy.apply(*WORLD) != 0
    before = busy.texts()

    assert busy.apply(*WORLD) == 0
    assert busy.texts() == before


@pytest.mark.parametrize(
    "damage, ops",
    [
        ("iptables -D NW-INPUT 3", 1),
        ("ip6tables -D NW-INPUT 1", 1),
        ("iptables -I NW-INPUT 1 -j ACCEPT", 1),
        ("iptables -R NW-OUTPUT 1 -j DROP", 2),
        ("ip6tables -F NW-OUTPUT", None),
        ("ipset del {set} 10.9.0.0/16", 1),
        ("ipset add {set} 203.0.113.0/24", 1),
        ("ipset add {set} 10.9.0.0/16 nomatch -exist", 1),
        ("ipset flush {set}", 2),
        ("ipset create nw-4-stray hash:net", 1),
        ("iptables -N NW-STRAY", 1),
    ],
)
def test_damage_is_repaired_by_the_fewest_ops(busy: NodeUnderTest, damage: str, ops: int | None) -> None:
    """Whatever is done to a rule, a chain or a set of ours, the next apply undoes by just as many ops as it takes."""
    busy.apply(*WORLD)
    before = busy.texts()
    set_name = next(line.split()[1] for line in before["ipset save"] if line.endswith(" 10.9.0.0/16"))

    busy.run(damage.format(set=set_name))

    assert busy.texts() != before
    repaired = busy.apply(*WORLD)
    assert ops is None or repaired == ops
    assert busy.texts() == before
    assert busy.apply(*WORLD) == 0


JUMP = "INPUT -m comment --comment nodewall -j NW-INPUT"


@pytest.mark.parametrize(
    "damage, ops",
    [
        ([f"-D {JUMP}"], 1),
        ([f"-A {JUMP}"], 3),
        ([f"-I {JUMP}"], 3),
        ([f"-D {JUMP}", f"-A {JUMP}"], 2),
        (["-A INPUT -p tcp -j NW-INPUT", "-I INPUT 2 -j NW-OUTPUT"], 4),
        (["-I FORWARD 1 -j NW-INPUT"], 1),
        (["-t nat -N NW-GONE", "-t nat -A PREROUTING -g NW-GONE"], 2),
    ],
    ids=["removed", "twice", "twice in a row", "moved", "strays", "other hook", "other table"],
)
def test_our_jump_is_put_right(busy: NodeUnderTest, damage: list[str], ops: int) -> None:
    """A jump of ours that was removed, moved or doubled is the first rule again, and others' keep their order."""
    busy.apply(*WORLD)
    before = busy.texts()

    for line in damage:
        busy.run(f"iptables {line}")

    assert busy.texts() != before
    assert busy.apply(*WORLD) == ops
    assert busy.texts() == before


# Many policies, and removal


ALL_USERS = str(2**32 - 1)
"""How many users the first user namespace maps; see user_namespaces(7)."""


def test_200_policies_come_and_go_without_a_trace(busy: NodeUnderTest) -> None:
    """200 policies are applied, read back identical, and removed; every text is then what it was before."""
    if busy.backend == BackendName.NFT and ALL_USERS not in Path("/proc/self/uid_map").read_text():
        # Only root may make a socket's buffer as long as the message by which nft changes all at once.
        pytest.skip("in a user namespace: iptables-nft's message for 200 policies is too long for its socket")
    before = busy.texts()
    objects = many()

    assert busy.apply(*objects) != 0
    assert busy.ops(*objects) == []
    assert sum("NW-" in line for line in busy.texts()["iptables-save"]) > 600
    assert [line for line in busy.texts()["iptables-save"] if "NW-" not in line] == before["iptables-save"]

    assert busy.json("remove")["removed"] is True
    assert busy.texts() == before
    assert busy.json("remove")["ops"] == 0


def test_of_a_fresh_node_empty_chains_stay(fresh: NodeUnderTest) -> None:
    """Where the filter table was never used, a removal leaves its built-in chains behind, empty and accepting."""
    nothing: dict[str, list[str]] = {"iptables-save": [], "ip6tables-save": [], "ipset save": []}
    assert fresh.texts() == nothing

    fresh.apply(*WORLD)
    fresh.json("remove")

    # iptables makes the table with the first rule, and has no word to take it away again.
    built_in = ["*filter", ":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT", "COMMIT"]
    left = {tool: sorted(lines) for tool, lines in fresh.texts().items()}
    assert left == {"iptables-save": sorted(built_in), "ip6tables-save": sorted(built_in), "ipset save": []}


# Small changes


def test_one_more_cidr_is_one_op(busy: NodeUnderTest) -> None:
    """One more CIDR among a rule's peers costs one op, and so does taking it away."""
    busy.apply(*WORLD)
    more = (allow("clients", "10.0.0.0/24", "10.9.0.0/16", "203.0.113.0/24", "fd00:9::/32"), drop_all())

    (op,) = busy.ops(*more)
    assert op == {"tool": "ipset", "op": "add", "object": set_of("clients", Family.IPV4), "detail": "203.0.113.0/24"}
    assert busy.apply(*more) == 1
    assert busy.apply(*WORLD) == 1


def test_a_policy_between_two_others_touches_only_its_own(busy: NodeUnderTest) -> None:
    """A policy that comes between two others costs its rules and its sets, and nothing of the others is touched."""
    first = allow("first", "10.1.0.0/16", "fd00:1::/32", priority=1.0)
    last = allow("last", "10.3.0.0/16", "fd00:3::/32", priority=3.0)
    between = allow("between", "10.2.0.0/16", "fd00:2::/32", priority=2.0)
    busy.apply(first, last)

    ops = busy.ops(first, between, last)

    own = {set_of("between", family) for family in Family}
    assert len(ops) == 6
    assert all(op["object"] in own or "nodewall between/" in op["detail"] for op in ops)
    assert {op["op"] for op in ops} == {"create", "add", "insert"}
    assert busy.apply(first, between, last) == 6
    comments = [line.split('"')[1] for line in busy.texts()["iptables-save"] if "ingress-allow" in line]
    assert [comment.split("/")[0] for comment in comments] == [f"nodewall {n}" for n in ("first", "between", "last")]
    assert {op["op"] for op in busy.ops(first, last)} == {"delete", "destroy"}


EVERYWHERE = {Family.IPV4: ("0.0.0.0/0", "203.0.113.0/24"), Family.IPV6: ("::/0", "2001:db8:113::/48")}
PEERS = {
    Family.IPV4: ("198.51.100.1", "203.0.113.7", "1.2.3.4", "223.255.255.254"),
    Family.IPV6: ("2001:db8:112::1", "2001:db8:113::7", "2a00::1", "fd00::1"),
}


def test_everywhere_but_somewhere_holds_as_exceptions_come_and_go(
    oracle: InjectionRig, backend: str, family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everywhere (/0) but a network is just that, and one op that flips the network's entry flips what the kernel does."""
    under_test = NodeUnderTest(oracle.netns, backend, tmp_path, capsys)
    whole, part = EVERYWHERE[family]
    but = {"ipBlock": {"cidr": whole, "except": [part]}}

    def peers(*far: Json) -> tuple[ClusterObject, ...]:
        return policy("open", ingress=[{"action": "Allow", "ports": [API], "from": list(far)}]), drop_all()

    def fates() -> list[DeliveryOutcome]:
        own = ADDRESSES[0] if family is Family.IPV4 else ADDRESSES[2]
        specs = [f"in=eth0 src={peer} dst={own} proto=tcp sport=40000 dport=6443" for peer in PEERS[family]]
        oracle.forget()
        return oracle.judge(Hook.INPUT, [to_wire(parse_spec(spec)) for spec in specs])

    excepted = [DeliveryOutcome.ACCEPT, DeliveryOutcome.DROP, DeliveryOutcome.ACCEPT, DeliveryOutcome.ACCEPT]
    under_test.apply(*peers(but))
    assert fates() == excepted
    for world_of, fate in ((peers(but, cidr(part)), [DeliveryOutcome.ACCEPT] * 4), (peers(but), excepted)):
        assert [op["op"] for op in under_test.ops(*world_of)] == ["change"]
        assert under_test.apply(*world_of) == 1
        assert fates() == fate
    under_test.apply(*peers(cidr(whole)))
    assert fates() == [DeliveryOutcome.ACCEPT] * 4
