"""First matches and cells of ports worked out beforehand are those that a look at one after the other finds."""

import random
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import pairwise
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.addresses import Block, entries
from engine.compiler import DEFAULT_OPTIONS, Layout, Options, compile_rules, left_linear
from engine.compiler.firstmatch import Entries, Named, resolved
from engine.compiler.flat import Bounds, NotFlat, Place, flattened
from engine.compiler.parts import part_of
from engine.compiler.portcells import Node, cells, tree
from engine.diff import diff
from engine.names import comment_of, merged_comment, owner_of
from engine.rules import Action, CompletedRule, Direction, PortRange, Protocol, Rank, Service
from engine.ruleset import Family, Ruleset

OPTIMISED = Options(layout=Layout.OPTIMISED)


def networks() -> st.SearchStrategy[str]:
    """Networks that crowd in a corner, so that they often contain one another."""
    return st.builds(
        lambda value, length: str(ip_network((value >> (32 - length) << (32 - length), length))),
        st.integers(0x0A000000, 0x0A00000F),
        st.integers(26, 32),
    )


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """A network without some of those in it."""
    outer = ip_network(draw(networks()))
    inner = [net for net in map(ip_network, draw(st.lists(networks(), max_size=3))) if net != outer and _in(net, outer)]
    return Block(outer, tuple(inner))


def _in(inner: object, outer: object) -> bool:
    return str(inner) != str(outer) and ip_network(str(inner)).subnet_of(ip_network(str(outer)))  # type: ignore[arg-type] # both IPv4


def holds(found: Entries, text: str) -> bool:
    """Whether a longest-prefix set has an address, found by looking at all of it."""
    inside = [entry for entry in found if ip_address(text) in entry.network]
    return max(inside, key=lambda entry: entry.network.prefixlen).matches if inside else False


SETS = st.lists(blocks(), max_size=3).map(lambda some: entries(some, Family.IPV4))
ADDRESSES = [f"10.0.0.{number}" for number in range(64)]


@given(st.lists(st.tuples(SETS, st.sampled_from("abc")), max_size=8), st.sampled_from(["", "a", "z"]))
def test_the_first_decision_is_found_by_one_look(decisions: list[tuple[Entries, str]], last: str) -> None:
    """Each address is in the set of the decision that is the first for it, and in no other."""
    asked: list[tuple[Entries | None, str]] = [*decisions]
    asked += [(None, last), (None, "never")] if last else []
    found = resolved(asked)
    for address in ADDRESSES:
        wanted = next((key for own, key in decisions if holds(own, address)), last or None)
        told: list[str | None] = [key for key, own in found.sets.items() if holds(own, address)]
        assert (told or [found.rest]) == [wanted]
    assert all(_needed(own) for own in found.sets.values())


def _needed(found: Entries) -> bool:
    """Whether no entry of a set says what its surroundings say."""
    for entry in found:
        around = [each for each in found if each is not entry and _in(entry.network, each.network)]
        outer = max(around, key=lambda each: each.network.prefixlen, default=None)
        if (outer.matches if outer else False) == entry.matches:
            return False
    return True


@given(st.lists(SETS, max_size=6), SETS, st.integers(0, 6))
def test_what_many_sets_say_of_some_addresses_is_found_without_asking_all(
    numbered: list[Entries], mine: Entries, before: int
) -> None:
    """For every address of these, each set with a number before one says what it says as a whole."""
    found = Named(list(enumerate(numbered))).about(mine, before)
    for address in (each for each in ADDRESSES if holds(mine, each)):
        assert any(holds(own, address) for own in found) == any(holds(own, address) for own in numbered[:before])


def ranges() -> st.SearchStrategy[PortRange]:
    """Ranges of ports, many of which touch or overlap."""
    return st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def leads(root: Node, port: int) -> tuple[int, ...]:
    """Who decides on a port, by the way that a tree leads to its cell."""
    while root.nodes:
        root = [root.nodes[0], *(way for way in root.nodes[1:] if way.first <= port)][-1]
    found = [cell.numbers for cell in root.cells if cell.first <= port <= cell.last]
    return found[0] if found else ()


@given(st.lists(st.lists(ranges(), min_size=1, max_size=3), max_size=8))
def test_the_tree_leads_each_port_to_those_who_decide_on_it(wanted: list[list[PortRange]]) -> None:
    """In their order; cells follow each other without a gap, and no two that follow each other are alike."""
    found = cells(wanted, (0, 50))
    assert [cell.first for cell in found] == [0, *(cell.last + 1 for cell in found[:-1])]
    assert found[-1].last == 50
    assert all(one.numbers != other.numbers for one, other in pairwise(found))
    for leaves in (found, [cell for cell in found if cell.numbers]):
        for port in range(51) if leaves else ():
            deciding = tuple(
                number for number, own in enumerate(wanted) if any(low <= port <= high for low, high in own)
            )
            assert leads(tree(leaves), port) == deciding


def compiled(rules: list[CompletedRule]) -> Ruleset:
    """What rules compile to."""
    return compile_rules(rules, OPTIMISED)


def allowed(number: int, port: int, peer: str, action: Action = Action.ALLOW) -> CompletedRule:
    """A rule about one port."""
    return CompletedRule(
        f"p{number:04}",
        "r",
        Rank(250, number, f"p{number:04}", 0),
        Direction.INGRESS,
        action,
        (Block(ip_network(peer)),),
        (Service(Protocol.TCP, (port, port)),),
    )


def test_one_rule_more_or_less_or_other_touches_little() -> None:
    """Of a thousand on ports of their own, and of a thousand on one: the tree and the sets do not jump about."""
    dice = random.Random(7)
    ports = dice.sample(range(1024, 65536), 1000)
    for rules in (
        [allowed(number, port, f"10.0.{number >> 8}.{number & 255}/32") for number, port in enumerate(ports)],
        [
            allowed(number, 7000, f"10.0.{number >> 8}.{number & 255}/32", (Action.ALLOW, Action.DROP)[number % 2])
            for number in range(1000)
        ],
    ):
        before, costs = compiled(rules), []
        for _ in range(40):
            number = dice.randrange(1000)
            changed, rule = [*rules], rules[number]
            match dice.choice(("gone", "port", "peer", "action")):
                case "gone":
                    del changed[number]
                case "port":
                    port = dice.randrange(1024, 65536)
                    changed[number] = replace(rule, services=(Service(Protocol.TCP, (port, port)),))
                case "peer":
                    more = Block(ip_network(f"172.16.0.{dice.randrange(256)}/32"))
                    changed[number] = replace(rule, peers=(*(rule.peers or ()), more))
                case _:
                    changed[number] = replace(rule, action=Action.DROP if rule.action is Action.ALLOW else Action.ALLOW)
            costs.append(len(diff(before, compiled(changed))))
        assert quantiles(costs, n=20)[-1] <= 20, sorted(costs)


def test_chains_do_not_grow_with_the_rules() -> None:
    """The longest of a thousand rules on ports of their own is about as long as of a hundred."""
    longest = {}
    for count in (100, 1000):
        rules = [allowed(number, 2000 + 7 * number, "10.0.0.1/32") for number in range(count)]
        chains = [chain for family, _, chain in compiled(rules).chains() if family is Family.IPV4]
        longest[count] = max(len(chain.rules) for chain in chains)
    assert longest[1000] < 40


def test_names_of_chains_fit() -> None:
    """Whatever the hook, the tier and the ports: 28 characters are what the kernel has room for."""
    rules = [
        CompletedRule(
            "p",
            "r",
            Rank(253, 1.0, "p", 0),
            direction,
            Action.PASS,
            None,
            (Service(Protocol.SCTP, (60_000, 65_535)),),
            logged=True,
        )
        for direction in Direction
    ]
    for _, _, chain in compiled(rules).chains():
        assert len(chain.name) <= 28


def test_what_would_grow_beyond_bounds_stays_linear() -> None:
    """It is said why, and the linear layout is what comes of it."""
    rules = [allowed(number, 2000 + number, "10.0.0.1/32") for number in range(50)]
    given_ = [each for rule in rules for each in part_of(rule, OPTIMISED).given[Family.IPV4]]
    with pytest.raises(NotFlat, match="it would take more than 10 rules and members"):
        flattened(given_, Place(Family.IPV4, "NW-I", "src"), None, Bounds(0, 10))


def test_it_is_said_what_stays_linear_and_why() -> None:
    """Where rules about every protocol stand between many others, what they leave for each would take too much room."""
    rules = []
    for number in range(400):
        rank = Rank(250, float(number), f"p{number:04}", 0)
        wide = tuple(Block(ip_network(f"10.{number % 200}.{host}.0/24")) for host in range(64))
        broad = CompletedRule(f"p{number:04}", "r", rank, Direction.INGRESS, Action.DROP, wide)
        services = (Service(Protocol.TCP, (number, number)),)
        anybody = CompletedRule(f"p{number:04}", "r", rank, Direction.INGRESS, Action.ALLOW, None, services)
        rules.append(anybody if number % 2 else broad)
    assert list(left_linear(rules, OPTIMISED)) == [
        "ingress of IPv4 stays linear: rules about every protocol stand between too many others"
    ]
    assert list(left_linear(rules, DEFAULT_OPTIONS)) == []
    linear = compile_rules(rules)
    assert compiled(rules).table(Family.IPV4, "filter").chain("NW-INPUT") == linear.table(Family.IPV4, "filter").chain(
        "NW-INPUT"
    )


def test_a_rule_for_many_names_them_and_owns_none() -> None:
    """As many as there is room for; whoever asks for the one owner gets none."""
    few = merged_comment([comment_of("a", "r"), comment_of("b", "s")])
    assert few.endswith(" 2 rules: a/r b/s")
    many = merged_comment([comment_of(f"policy-{number}", "rule") for number in range(100)])
    assert len(many) <= 255
    assert many.endswith(" ~")
    assert owner_of(few) is owner_of(many) is None
    assert owner_of(comment_of("a", "r")) == ("a", "r")
