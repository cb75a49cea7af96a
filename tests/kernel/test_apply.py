"""``plan``, ``apply`` and ``remove`` bring a real kernel where they say, by no more than it takes, or leave it alone."""

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adapters.cli import main
from adapters.kernel import Backend, NetfilterKernel
from adapters.lab import Namespaces
from adapters.probe import Outcome
from adapters.process import Finished, Runner, SystemRunner, namespaces
from engine.compiler import compile_rules
from engine.errors import KernelRefused, Unsafe
from engine.names import digest
from engine.objects import ClusterObject
from engine.reconcile import NodeRuleReconciler, propose, realize
from engine.resolve import resolve
from engine.rules import Action, Protocol, Service
from engine.ruleset import Family, Hook
from simulator.packets import parse_spec, to_wire
from simulator.prove import LifelineVerifier, TrustingVerifier
from tests.kernel.oracle import ADDRESSES, Oracle
from tests.rulesets import Json, NullWatch, cidr, completed, node, policy, world

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}
NODES = (
    node("cp-1", "192.0.2.1", "2001:db8::1", labels=CONTROL_PLANE),
    node("worker-1", "192.0.2.3", "2001:db8::3"),
)
API = {"port": 6443, "protocol": "TCP"}

FOREIGN = {
    Family.IPV4: """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.244.0.0/16 -o eth0 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:f2b-sshd - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "it's \\"SSH\\", nodewall or not" -j f2b-sshd
-A INPUT -m set --match-set banned src -j DROP
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
-A f2b-sshd -s 203.0.113.9/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -j RETURN
COMMIT
""",
    Family.IPV6: """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -p ipv6-icmp -j ACCEPT
-A KUBE-FIREWALL -j RETURN
COMMIT
""",
}
FOREIGN_SETS = """\
create banned hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x12345678
add banned 203.0.113.66
create ports bitmap:port range 1-1024
"""


@dataclass(slots=True)
class NodeUnderTest:
    """A network namespace, what is in it, and the command line on it."""

    netns: str
    backend: str
    folder: Path
    capsys: pytest.CaptureFixture[str]
    _files: int = field(default=0)

    @property
    def runner(self) -> SystemRunner:
        """Runs programs in the namespace."""
        return SystemRunner(self.netns)

    @property
    def kernel(self) -> NetfilterKernel:
        """The namespace's netfilter."""
        return NetfilterKernel(self.runner, Backend(self.backend))

    def run(self, line: str, stdin: str = "") -> str:
        """Run a line of words in the namespace; ``iptables`` and its kin are those of the backend."""
        tool, *rest = shlex.split(line)
        if tool.startswith("ip") and "tables" in tool:
            name, _, end = tool.partition("-")
            tool = "-".join(filter(None, (name, self.backend, end)))
        return self.runner.run([tool, *rest], stdin).or_refused(tool)

    def texts(self) -> dict[str, list[str]]:
        """Return all that the tools save, without comments and counters."""
        return {tool: plain(self.run(tool)) for tool in ("iptables-save", "ip6tables-save", "ipset save")}

    def load_foreign(self) -> None:
        """Put in force what others might."""
        self.run("ipset restore", FOREIGN_SETS)
        self.run("iptables-restore", FOREIGN[Family.IPV4])
        self.run("ip6tables-restore", FOREIGN[Family.IPV6])

    def manifests(self, *objects: ClusterObject) -> str:
        """Write objects to a file and return its path."""
        self._files += 1
        path = self.folder / f"{self._files}.yaml"
        documents = (item.model_dump_json(by_alias=True, exclude_none=True) for item in (*NODES, *objects))
        path.write_text("\n---\n".join(documents))
        return str(path)

    def nodewall(self, *words: str) -> tuple[int, str, str]:
        """Run a command line on the namespace and return its exit code and what it printed on either stream."""
        self.capsys.readouterr()
        code = main([*words, "--netns", self.netns, "--backend", self.backend])
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, *words: str) -> dict[str, object]:
        """Run a command line that must succeed, and return its JSON."""
        code, out, err = self.nodewall(*words, "-o", "json")
        assert code == 0, err
        found: dict[str, object] = json.loads(out)
        return found

    def apply(self, *objects: ClusterObject) -> object:
        """Apply a world and return the number of ops."""
        found = self.json("apply", "-f", self.manifests(*objects), "--node", "cp-1", "--yes")
        assert (found["applied"], found["verified"]) == (True, True)
        return found["ops"]

    def ops(self, *objects: ClusterObject) -> list[dict[str, str]]:
        """Return the ops that a world would take."""
        found = self.json("plan", "-f", self.manifests(*objects), "--node", "cp-1")["ops"]
        assert isinstance(found, list)
        return found


def plain(text: str) -> list[str]:
    """Return the lines of a save without comments and packet counters."""
    lines = (line.partition(" [")[0] if line.startswith(":") else line for line in text.splitlines())
    return [line for line in lines if not line.startswith("#")]


@pytest.fixture
def fresh(backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[NodeUnderTest]:
    """A namespace in which nothing ever was."""
    with Namespaces(("node",)) as made:
        yield NodeUnderTest(made["node"], backend, tmp_path, capsys)


@pytest.fixture
def busy(fresh: NodeUnderTest) -> NodeUnderTest:
    """A namespace with the rules, chains and sets of others."""
    fresh.load_foreign()
    return fresh


def allow(name: str, *networks: str, priority: float = 5.0) -> ClusterObject:
    """A policy that lets networks reach the API server."""
    rule = {"action": "Allow", "ports": [API], "from": [cidr(text) for text in networks]}
    return policy(name, ingress=[rule], priority=priority)


def drop_all() -> ClusterObject:
    """A policy that drops what no other lets through."""
    return policy("last", ingress=[{"action": "Drop"}], tier="baseline")


WORLD = (allow("clients", "10.0.0.0/24", "10.9.0.0/16", "fd00:9::/32"), drop_all())
"""In force it is, for IPv4, a jump, and in NW-INPUT the static rules, the clients' and the last one's."""


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


def many() -> list[ClusterObject]:
    """Return 200 policies for one node: both families and directions, exceptions, ranges, every action."""
    return [
        policy(
            f"p-{number:03}",
            ingress=[
                {
                    "action": ("Allow", "Drop", "Reject")[number % 3],
                    "from": [
                        *(cidr(f"10.{number}.{part}.0/24") for part in range(8)),
                        *(cidr(f"fd00:{number:x}:{part:x}::/48") for part in range(8)),
                        {"ipBlock": {"cidr": f"172.16.{number}.0/24", "except": [f"172.16.{number}.64/26"]}},
                        {"nodeSelector": {}},
                    ],
                    "ports": [{"port": 1000 + number}, {"port": 5000, "endPort": 5000 + number, "protocol": "UDP"}],
                }
            ],
            egress=[{"action": "Reject", "to": [cidr(f"198.18.{number}.0/24")], "ports": [{"port": 25}]}],
            tier=("emergency", "application", "baseline")[number % 3],
            priority=float(1 + number % 7),
        )
        for number in range(200)
    ]


ALL_USERS = str(2**32 - 1)
"""How many users the first user namespace maps; see user_namespaces(7)."""


def test_200_policies_come_and_go_without_a_trace(busy: NodeUnderTest) -> None:
    """200 policies are applied, read back identical, and removed; every text is then what it was before."""
    if busy.backend == Backend.NFT and ALL_USERS not in Path("/proc/self/uid_map").read_text():
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


def set_of(name: str, family: Family) -> str:
    """Return the name of the set of the one rule of a policy made by ``allow``."""
    rules = resolve(world(*NODES, allow(name, "10.0.0.0/24")), "cp-1")
    (found,) = (rule.id for rule in rules if rule.policy == name)
    return f"nw-{4 if family is Family.IPV4 else 6}-{digest(found)}"


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
    oracle: Oracle, backend: str, family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everywhere (/0) but a network is just that, and one op that flips the network's entry flips what the kernel does."""
    under_test = NodeUnderTest(oracle.netns, backend, tmp_path, capsys)
    whole, part = EVERYWHERE[family]
    but = {"ipBlock": {"cidr": whole, "except": [part]}}

    def peers(*far: Json) -> tuple[ClusterObject, ...]:
        return policy("open", ingress=[{"action": "Allow", "ports": [API], "from": list(far)}]), drop_all()

    def fates() -> list[Outcome]:
        own = ADDRESSES[0] if family is Family.IPV4 else ADDRESSES[2]
        specs = [f"in=eth0 src={peer} dst={own} proto=tcp sport=40000 dport=6443" for peer in PEERS[family]]
        oracle.forget()
        return oracle.judge(Hook.INPUT, [to_wire(parse_spec(spec)) for spec in specs])

    excepted = [Outcome.ACCEPT, Outcome.DROP, Outcome.ACCEPT, Outcome.ACCEPT]
    under_test.apply(*peers(but))
    assert fates() == excepted
    for world_of, fate in ((peers(but, cidr(part)), [Outcome.ACCEPT] * 4), (peers(but), excepted)):
        assert [op["op"] for op in under_test.ops(*world_of)] == ["change"]
        assert under_test.apply(*world_of) == 1
        assert fates() == fate
    under_test.apply(*peers(cidr(whole)))
    assert fates() == [Outcome.ACCEPT] * 4


# Refusals


def refused(under_test: NodeUnderTest, *objects: ClusterObject) -> str:
    """Apply a world that the kernel refuses: nothing may have changed then; return what users are told."""
    before = under_test.texts()
    code, out, err = under_test.nodewall("apply", "-f", under_test.manifests(*objects), "--node", "cp-1", "--yes")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert under_test.texts() == before
    return err


def test_a_set_that_others_use_is_left_alone(busy: NodeUnderTest) -> None:
    """A foreign rule that uses a set of our name and another type makes ipset refuse: its words are shown, nothing changed."""
    name = set_of("clients", Family.IPV4)
    busy.run(f"ipset create {name} hash:ip")
    busy.run(f"iptables -A INPUT -m set --match-set {name} src -j DROP")

    err = refused(busy, *WORLD)

    assert "ipset refused with status 1: " in err
    assert "Set cannot be destroyed: it is in use by a kernel component" in err
    assert f'(at: "destroy {name}")' in err


def test_a_refusal_in_the_middle_of_the_sets_is_undone(busy: NodeUnderTest) -> None:
    """Where ipset refuses in the middle of its input, what the lines before did is undone."""
    name = set_of("clients", Family.IPV4)
    busy.run(f"ipset create {name} hash:net maxelem 1")  # room for one member of two

    err = refused(busy, *WORLD)

    assert "Hash is full, cannot add more elements" in err
    assert err.endswith("; the previous state is back\n")


@dataclass(slots=True)
class Failing:
    """A runner whose ``program`` fails the first time, instead of being run."""

    inner: Runner
    program: str
    failed: bool = False

    def run(self, words: Sequence[str], stdin: str = "", timeout: float = 60) -> Finished:
        """Run, or fail."""
        if words[0] != self.program or self.failed:
            return self.inner.run(words, stdin, timeout)
        self.failed = True
        return Finished(1, "", f"{self.program}: line 2 failed: some words")


@pytest.mark.parametrize("held", [(), WORLD], ids=["nothing", "a world"])
@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_a_refusal_at_a_later_step_puts_the_previous_state_back(
    busy: NodeUnderTest, held: tuple[ClusterObject, ...], program: str
) -> None:
    """A refusal after sets, or rules of the other family, were changed puts the previous state back into the kernel."""
    if held:
        busy.apply(*held)
    before = busy.texts()
    others = compile_rules(resolve(world(*NODES, *many()[:5]), "cp-1"))
    failing = Failing(busy.runner, f"{program}-{busy.backend}-restore")
    kernel = NetfilterKernel(failing, Backend(busy.backend))
    proposal = propose(others, kernel, TrustingVerifier(), NullWatch())

    with pytest.raises(KernelRefused, match=r"some words \(at: .*; the previous state is back$") as caught:
        realize(proposal, kernel, NullWatch())

    (text,) = (step.text for step in proposal.plan.steps if step.tool == program)
    assert caught.value.offending == text.splitlines()[1]
    assert busy.texts() == before


def test_rules_that_could_not_come_into_force_are_not_held(busy: NodeUnderTest) -> None:
    """After a refusal the reconciler holds the rules of before, so the next one it is given joins those."""
    failing = Failing(busy.runner, f"ip6tables-{busy.backend}-restore", failed=True)
    reconciler = NodeRuleReconciler(NetfilterKernel(failing, Backend(busy.backend)), TrustingVerifier(), NullWatch())
    reconciler.reconcile(completed("a", "10.0.0.0/8"))
    failing.failed = False
    with pytest.raises(KernelRefused):
        reconciler.reconcile(completed("b", "fd00::/8"))

    reconciler.reconcile(completed("c", "10.3.0.0/16"))

    comments = [rule.comment for _, _, chain in busy.kernel.observe().chains() for rule in chain.rules]
    assert {comment for comment in comments if comment.endswith("/r")} == {"nodewall a/r", "nodewall c/r"}


# Lockouts


def test_a_plan_that_cuts_the_node_off_is_refused(busy: NodeUnderTest) -> None:
    """A plan under which a lifeline is lost is refused with the packet and exit code 3, and taken only where forced."""
    # An older version's chain keeps the API server reachable, before a foreign rule that drops it.
    rules = (
        "-N NW-OLD",
        "-A NW-OLD -j ACCEPT",
        "-A INPUT -j NW-OLD",
        "-A INPUT -p tcp -m tcp --dport 6443 -j DROP",
    )
    for rule in rules:
        busy.run(f"iptables -t mangle {rule}")
    before = busy.texts()
    words = ("apply", "-f", busy.manifests(*WORLD), "--node", "cp-1", "--yes")

    code, out, err = busy.nodewall(*words)

    assert (code, out) == (3, "")
    assert len(err.splitlines()) == 2  # from either node
    assert all(line.startswith("error: refused, the node would lose in=eth0 src=192.0.2.") for line in err.splitlines())
    assert "dport=6443" in err
    assert busy.texts() == before
    assert busy.json(*words, "--force-unsafe")["verified"] is True


def test_rules_of_ours_that_cut_the_node_off_are_refused(busy: NodeUnderTest) -> None:
    """Rules that lack the static ones and drop a lifeline are refused by the guard, and the kernel stays as it is."""
    lifeline = completed("(static)", "192.0.2.3/32", action=Action.ALLOW, services=(Service(Protocol.TCP, (22, 22)),))
    guard = LifelineVerifier([lifeline], [parse_spec("src=192.0.2.3 dst=192.0.2.1 proto=tcp").dst])
    before = busy.texts()
    reconciler = NodeRuleReconciler(busy.kernel, guard, NullWatch())

    with pytest.raises(Unsafe, match=r"src=192\.0\.2\.3 dst=192\.0\.2\.1 proto=tcp .*: drop by filter/NW-INPUT rule 3"):
        reconciler.reconcile(completed("a", action=Action.DROP))

    assert busy.texts() == before


# What is missing

NODEWALL = ("-c", "import sys; from adapters.cli import main; sys.exit(main())")
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""No capability whatever the user's number, who may still read the checkout."""
WITHOUT_TOOLS = (
    "unshare",
    "-m",
    "sh",
    "-c",
    'mount -t tmpfs none /usr/sbin && mount -t tmpfs none /sbin && exec "$@"',
    "sh",
)
"""Debian's place for iptables and ipset is empty."""


def nodewall_under(prefix: Iterable[str], *words: str, netns: str = "") -> Finished:
    """Run the command line as a program of its own, by the words of another."""
    return SystemRunner(netns).run([*prefix, sys.executable, *NODEWALL, *words])


@pytest.mark.parametrize("entered", ["before", "by nodewall"])
def test_without_privileges_it_says_so(busy: NodeUnderTest, entered: str) -> None:
    """Who may not change the kernel is told so in one line, exit code 2, wherever the namespace is entered."""
    before = busy.texts()
    words = ("apply", "-f", busy.manifests(*WORLD), "--node", "cp-1", "--yes", "--backend", busy.backend)

    if entered == "before":
        finished = nodewall_under(POWERLESS, *words, netns=busy.netns)
    else:
        finished = nodewall_under(POWERLESS, *words, "--netns", busy.netns)

    assert (finished.status, finished.out) == (2, "")
    assert len(finished.err.splitlines()) == 1
    assert finished.err.endswith("; run as root or with CAP_NET_ADMIN in the network namespace\n")
    assert busy.texts() == before


def test_without_iptables_it_says_which_package_has_it(busy: NodeUnderTest) -> None:
    """Where iptables is not installed, apply and remove name the program and its package, exit code 2."""
    world_of = ("-f", busy.manifests(*WORLD), "--node", "cp-1")
    for words in (("apply", *world_of, "--yes"), ("plan", *world_of), ("remove",)):
        finished = nodewall_under(WITHOUT_TOOLS, *words, "--netns", busy.netns, "--backend", busy.backend)

        told = f'error: no program "iptables-{busy.backend}-save"; install the Debian package iptables\n'
        assert (finished.status, finished.out, finished.err) == (2, "", told)


@pytest.mark.parametrize("prefix", [POWERLESS, WITHOUT_TOOLS], ids=["without privileges", "without iptables"])
def test_what_if_needs_no_kernel(busy: NodeUnderTest, prefix: tuple[str, ...]) -> None:
    """Without privileges or iptables, compile and simulate still answer."""
    world_of = ("-f", busy.manifests(*WORLD), "--node", "cp-1", "-o", "json")
    packet = "in=eth0 src=10.0.0.9 dst=192.0.2.1 proto=tcp dport=6443"

    compiled = nodewall_under(prefix, "compile", *world_of)
    simulated = nodewall_under(prefix, "simulate", *world_of, "--packet", packet)

    assert (compiled.status, set(json.loads(compiled.out))) == (0, {"ipv4", "ipv6", "ipset"})
    assert (simulated.status, json.loads(simulated.out)["verdict"]) == (0, "accept")


@pytest.mark.parametrize("command", ["apply", "plan", "remove"])
def test_an_unknown_namespace_is_named_with_those_there_are(fresh: NodeUnderTest, command: str) -> None:
    """An unknown network namespace is one line that says which there are, exit code 2."""
    world_of = () if command == "remove" else ("-f", fresh.manifests(*WORLD), "--node", "cp-1")
    fresh.capsys.readouterr()

    code = main([command, *world_of, "--netns", "no-such", "--backend", fresh.backend])

    printed = fresh.capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert printed.err.startswith('error: no network namespace "no-such"; there are: ')
    assert len(printed.err.splitlines()) == 1
    assert fresh.netns in namespaces()
    assert fresh.netns in printed.err


# What is recorded


@pytest.fixture
def log(busy: NodeUnderTest) -> str:
    """An event log that holds the world."""
    path = str(busy.folder / "events.db")
    assert main(["log", "append", "--log", path, "-f", busy.manifests(*WORLD)]) == 0
    return path


Recorded = Callable[[], list[Mapping[str, object]]]


@pytest.fixture
def recorded(busy: NodeUnderTest, log: str) -> Recorded:
    """What the log holds after the manifests."""

    def read() -> list[Mapping[str, object]]:
        busy.capsys.readouterr()
        assert main(["log", "show", "--log", log, "-o", "json", "--from", "5"]) == 0
        return [json.loads(line) for line in busy.capsys.readouterr().out.splitlines()]

    return read


def test_an_apply_is_recorded_once(busy: NodeUnderTest, log: str, recorded: Recorded) -> None:
    """An apply from a log is recorded there, one that changes nothing is not, and a repair is."""
    words = ("apply", "--log", log, "--node", "cp-1", "--yes")
    first = busy.json(*words)

    (event,) = recorded()
    body = event["body"]
    assert isinstance(body, dict)
    assert (body["type"], body["node"], body["realized"], body["operations"]) == (
        "ruleset.applied",
        "cp-1",
        4,
        first["ops"],
    )
    assert (first["sequence"], first["applied"]) == (4, True)
    assert busy.json(*words)["ops"] == 0
    assert len(recorded()) == 1
    busy.run("iptables -D NW-INPUT 3")
    assert busy.json(*words)["ops"] == 1
    assert len(recorded()) == 2


def test_a_failure_is_recorded_with_its_words(busy: NodeUnderTest, log: str, recorded: Recorded) -> None:
    """An apply that the kernel refused is recorded with the tool's words."""
    name = set_of("clients", Family.IPV4)
    busy.run(f"ipset create {name} hash:ip")
    busy.run(f"iptables -A INPUT -m set --match-set {name} src -j DROP")

    code, _, err = busy.nodewall("apply", "--log", log, "--node", "cp-1", "--yes")

    assert code == 1
    (event,) = recorded()
    body = event["body"]
    assert isinstance(body, dict)
    assert (body["type"], body["node"], body["wanted"]) == ("apply.failed", "cp-1", 4)
    assert f"error: {body['words']}\n" == err
