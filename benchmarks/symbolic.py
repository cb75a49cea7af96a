"""Benchmark of questions about all packets: build, compare and prove, each with a time limit on two cores.

Each result is compared with a slower way in the same run. The slower ways are a full comparison, the first proof, sets
built member by member, and a fleet compared one Node at a time.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from time import perf_counter

from adapters.system.child_python import processes
from benchmarks.support.clusters import fleet
from engine.compiler import compile_rules
from engine.desired.full import desired_ruleset
from engine.policy.completed_rules import Action, CompletedRule, Direction, Protocol, Rank, Traffic
from engine.policy.prefix_sets import AddressBlock
from engine.rulesets.diff import diff
from engine.rulesets.model import Chain, Family, Hook, IpSet, Match, Rule, Ruleset, Table, Target
from engine.rulesets.plan import make_plan
from engine.rulesets.text import parse_tables
from engine.rulesets.transitions import intermediate_states
from simulator.analysis.compare import compare
from simulator.analysis.fleet import compare_fleet
from simulator.guard.guard import LockoutGuard
from simulator.packet_sets.bdd import Bdd
from simulator.symbolic import Budget, SymbolicContext, SymbolicRuleset, SymbolicRulesetReader

RULES, CHAINS, CHANGED = 5_500, 90, 200
POLICY_RULES, SETS, MEMBERS = 1_000, 100, 1_000
BIG_SETS, BIG_MEMBERS, BY_MEMBER = 20, 100_000, 2_000
NODES, KINDS, POLICIES, ALONE = 5_000, 20, 400, 20


def main() -> None:
    """Run all measurements and print them."""
    print("all packets at once: seconds, and the most it may take")
    for family, limits in ((Family.IPV4, (5.0, 2.0)), (Family.IPV6, (15.0, 15.0))):
        _synthetic(family, *limits)
    _node()
    _big_sets()
    _fleet()


def _print(what: str, seconds: float, limit: float, more: str = "") -> None:
    kept = "" if seconds <= limit else "  TOO LONG"
    print(f"  {what:64}{seconds:7.2f} of {limit:5.1f}{f'  {more}' if more else ''}{kept}")


# A large ruleset


def _synthetic(family: Family, build: float, compared: float) -> None:
    texts = _text(family), _text(family, changed=CHANGED)
    old, new = (_ruleset(text, family) for text in texts)
    start = perf_counter()
    _worked_out(SymbolicRulesetReader(family), old)
    first = perf_counter() - start
    _print(f"{family}: {RULES:,} rules in {CHAINS} chains, every packet at every hook", first, build)
    start = perf_counter()
    found = compare(old, new, (family,))
    both = perf_counter() - start
    more = f"{len(found):,} changes; {2 * first / both:.1f}x as fast as both versions alone"
    _print(f"{family}: compared with a version of which {CHANGED} rules changed, on top", both - first, compared, more)


def _worked_out(library: SymbolicRulesetReader, ruleset: Ruleset) -> SymbolicRuleset:
    world = library.read(ruleset)
    atlas = SymbolicContext.of(library, [world])
    for hook in Hook:
        atlas.fates(world, hook)
    return world


def _ruleset(text: str, family: Family) -> Ruleset:
    tables = parse_tables(text, family=family)
    return Ruleset(ipv4=tables) if family is Family.IPV4 else Ruleset(ipv6=tables)


def _text(family: Family, changed: int = 0) -> str:
    """Return the text of rules with jumps to later chains and RETURN; ``changed`` rules are replaced."""
    dice = random.Random(f"rules {family}")  # noqa: S311 - not for secrets
    names = [f"C{place}" for place in range(CHAINS)]
    lines = {
        name: [_rule(dice, family, names[place + 1 :]) for _ in range(RULES // CHAINS)]
        for place, name in enumerate(names)
    }
    entries = [f"-s {_network(dice, family)} -j {name}" for name in names]
    again = random.Random(f"changes {family}")  # noqa: S311 - not for secrets
    for _ in range(changed):
        chain = lines[again.choice(names)]
        chain[again.randrange(len(chain))] = _rule(again, family, [])
    heads = [":INPUT ACCEPT [0:0]", *(f":{name} - [0:0]" for name in names)]
    rules = [f"-A {name} {line}" for name, chain in {"INPUT": entries, **lines}.items() for line in chain]
    return "\n".join(["*filter", *heads, *rules, "COMMIT", ""])


def _rule(dice: random.Random, family: Family, further: Sequence[str]) -> str:
    parts = [f"-s {_network(dice, family)}"] if dice.random() < 0.7 else []
    if dice.random() < 0.3:
        parts.append(f"-d {_network(dice, family)}")
    if not parts or dice.random() < 0.75:
        protocol = dice.choice(("tcp", "tcp", "udp"))
        end = f":{dice.randrange(2000, 9000)}" if dice.random() < 0.2 else ""
        parts.append(f"-p {protocol} -m {protocol} --dport {dice.randrange(1, 2000)}{end}")
    if dice.random() < 0.1:
        parts.append("-m conntrack --ctstate NEW")
    chance = dice.random()
    target = "ACCEPT" if chance < 0.45 else "DROP" if chance < 0.8 else "RETURN" if chance < 0.9 else "REJECT"
    if chance > 0.95 and further:
        target = dice.choice(further)
    return " ".join([*parts, "-j", target])


def _network(dice: random.Random, family: Family) -> str:
    first, second = dice.randrange(256), dice.randrange(256)
    if family is Family.IPV4:
        return str(ip_network(f"10.{first}.{second}.0/{dice.choice((12, 16, 24, 24, 28))}", strict=False))
    return str(ip_network(f"2001:db8:{first:x}:{second:x}::/{dice.choice((48, 56, 64))}", strict=False))


# A node's policies


def _node() -> None:
    rules = list(_policy_rules())
    first, second = (
        compile_rules(rules),
        compile_rules([*rules[:500], replace(rules[500], services=_port(7777)), *rules[501:]]),
    )
    guard = LockoutGuard([rules[0]], [ip_address("192.0.2.1")])
    fresh, again = _judged(guard, Ruleset(), first), _judged(guard, first, second)
    _print(f"{POLICY_RULES:,} policy rules, {SETS} sets of {MEMBERS:,} members: a first plan proved", fresh, 1.0)
    _print("one rule of them changed: the next plan proved", again, 0.2, f"{fresh / again:.1f}x as fast")


def _judged(guard: LockoutGuard, before: Ruleset, after: Ruleset) -> float:
    way = tuple(intermediate_states(before, make_plan(diff(before, after))))
    start = perf_counter()
    if not guard.judge(before, after, way).safe:
        raise RuntimeError("the plan is not safe")
    return perf_counter() - start


def _policy_rules() -> Iterator[CompletedRule]:
    dice = random.Random("policy rules")  # noqa: S311 - not for secrets
    yield _policy_rule("(static)", -1, Action.ALLOW, tuple(_block(f"192.0.2.{host}/32") for host in range(2, 20)), 6443)
    for number in range(POLICY_RULES):
        hosts = (f"10.{dice.randrange(64)}.{dice.randrange(256)}.{dice.randrange(256)}/32" for _ in range(MEMBERS))
        near = (f"10.{dice.randrange(64)}.{dice.randrange(256)}.0/24",)
        peers = tuple(_block(text) for text in (hosts if number < SETS else near))
        action = dice.choice((Action.ALLOW, Action.DROP))
        yield _policy_rule(f"policy-{number}", 250, action, peers, dice.randrange(1, 6000))


def _policy_rule(name: str, tier: int, action: Action, peers: tuple[AddressBlock, ...], port: int) -> CompletedRule:
    return CompletedRule(name, "rule", Rank(tier, 5.0, name, 0), Direction.INGRESS, action, peers, _port(port))


def _block(text: str) -> AddressBlock:
    return AddressBlock(ip_network(text))


def _port(port: int) -> tuple[Traffic, ...]:
    return (Traffic(Protocol.TCP, (port, port)),)


# Large sets


def _big_sets() -> None:
    dice = random.Random("big sets")  # noqa: S311 - not for secrets
    members = [sorted(dice.sample(range(10 << 24, 11 << 24), BIG_MEMBERS)) for _ in range(BIG_SETS)]
    sets = tuple(
        IpSet(f"set-{number}", "hash:ip", Family.IPV4, tuple(sorted((str(IPv4Address(host)),) for host in hosts)))
        for number, hosts in enumerate(members)
    )
    rules = tuple(
        Rule((Match("set", "match-set", (each.name, "src")),), Target("ACCEPT" if place % 2 else "DROP"))
        for place, each in enumerate(sets)
    )
    ruleset = Ruleset(ipv4=(Table("filter", (Chain("INPUT", rules, "DROP"),)),), sets=sets)
    start = perf_counter()
    _worked_out(SymbolicRulesetReader(Family.IPV4), ruleset)
    seconds = perf_counter() - start
    member = _by_member(members[0][:BY_MEMBER]) / BY_MEMBER * BIG_SETS * BIG_MEMBERS
    _print(
        f"{BIG_SETS} sets of {BIG_MEMBERS:,} members",
        seconds,
        3.0,
        f"{member / seconds:.0f}x as fast as member by member",
    )


def _by_member(hosts: Sequence[int]) -> float:
    """Return the seconds that the union of single addresses takes, bit by bit."""
    diagram = Bdd()
    bits = diagram.variables(32)
    start = perf_counter()
    found = diagram.false
    for host in hosts:
        found |= diagram.all_of(
            bit if host >> 31 - place & 1 else ~bit for place, bit in reversed(list(enumerate(bits)))
        )
    return perf_counter() - start


# A fleet


def _fleet() -> None:
    old, new = (fleet(NODES, KINDS, POLICIES, moved=moved) for moved in (0, 40))
    with processes() as executor:
        start = perf_counter()
        found = compare_fleet(old, new, executor, Budget())
        seconds = perf_counter() - start
    start = perf_counter()
    for name in sorted(old.nodes)[:ALONE]:
        compare(desired_ruleset(old, name).ruleset, desired_ruleset(new, name).ruleset)
    alone = (perf_counter() - start) / ALONE * NODES
    changed = sum(bool(each.changes) for each in found)
    more = f"{changed} kinds change; {alone / seconds:.0f}x as fast as a node at a time"
    _print(f"{NODES:,} nodes in {len(found)} kinds compared", seconds, 20.0, more)
