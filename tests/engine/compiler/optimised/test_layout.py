"""First matches and cells of ports worked out beforehand are those that a look at one after the other finds."""

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from itertools import pairwise
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compiler import DEFAULT_OPTIONS, CompilerOptions, Layout, LayoutLimits, compile_rules, compile_with_limits
from engine.compiler.optimised.builder import LayoutLimitExceeded
from engine.compiler.optimised.first_match import FirstMatch, FirstMatchIndex, remaining_addresses
from engine.compiler.optimised.layout import build_layout
from engine.compiler.optimised.port_tree import FANOUT, PortCell, PortCells, PortTreeNode, build_port_tree
from engine.compiler.optimised.prefix_index import PrefixEntries, PrefixIndex
from engine.compiler.optimised.terms import ChainPlace, diff_sequences
from engine.compiler.rule_parts import compile_part
from engine.policy.completed_rules import Action, CompletedRule, Direction, PortRange, Protocol, Rank, Traffic
from engine.policy.prefix_sets import AddressBlock, Prefix, entries
from engine.rulesets.diff import diff
from engine.rulesets.model import Family, Ruleset
from engine.rulesets.ownership import comment_of, merged_comment, owner_of
from tests.support.seeds import seeded

OPTIMISED = CompilerOptions(layout=Layout.OPTIMISED)


def networks() -> st.SearchStrategy[str]:
    """Networks that crowd in a corner, so that they often contain one another."""
    return st.builds(
        lambda value, length: str(ip_network((value >> (32 - length) << (32 - length), length))),
        st.integers(0x0A000000, 0x0A00000F),
        st.integers(26, 32),
    )


@st.composite
def blocks(draw: st.DrawFn) -> AddressBlock:
    """A network without some of those in it."""
    outer = ip_network(draw(networks()))
    inner = [net for net in map(ip_network, draw(st.lists(networks(), max_size=3))) if net != outer and _in(net, outer)]
    return AddressBlock(outer, tuple(inner))


def _in(inner: object, outer: object) -> bool:
    return str(inner) != str(outer) and ip_network(str(inner)).subnet_of(ip_network(str(outer)))  # type: ignore[arg-type] # both IPv4


def holds(found: PrefixEntries, text: str) -> bool:
    """Whether a longest-prefix set has an address, found by looking at all of it."""
    inside = [entry for entry in found if ip_address(text) in entry.network]
    return max(inside, key=lambda entry: entry.network.prefixlen).matches if inside else False


SETS = st.lists(blocks(), max_size=3).map(lambda some: entries(some, Family.IPV4))
ADDRESSES = [f"10.0.0.{number}" for number in range(64)]


@dataclass(eq=False)
class Who:
    """Somebody who decides on some addresses, or ports."""

    addresses: PrefixEntries = ()
    ports: tuple[PortRange, ...] = ()
    number: int = 0


def numbered(some: list[Who]) -> list[Who]:
    """The same, numbered in their order."""
    for number, who in enumerate(some):
        who.number = number
    return some


@given(st.data())
def test_the_first_is_known_for_each_address_however_they_came_and_went(data: st.DataObject) -> None:
    """What holds after changes is what those who are there say, one after the other."""
    pool = [Who(addresses) for addresses in data.draw(st.lists(SETS, max_size=8))]
    firsts, there, known = FirstMatchIndex[Who](32), list[Who](), dict[Prefix, FirstMatch[Who]]()
    for _ in range(3):
        wanted = numbered([who for who in pool if data.draw(st.booleans())])
        changed = diff_sequences(there, wanted)
        gone, new = ([(who, who.addresses) for who in some] for some in (changed.gone, changed.new))
        before, after = firsts.change(gone, new)
        assert before.items() <= known.items()
        known = {**{prefix: first for prefix, first in known.items() if prefix not in before}, **after}
        there = wanted
        for address in ADDRESSES:
            inside = [first for first in known.values() if ip_address(address) in first.network]
            found = max(inside, key=lambda first: first.network.prefixlen).here if inside else None
            assert found is next((who for who in there if holds(who.addresses, address)), None)


@given(st.lists(SETS, max_size=5), SETS)
def test_what_is_left_is_in_the_fewest_entries(others: list[PrefixEntries], mine: PrefixEntries) -> None:
    """An address of a set that no set before it has, and no other; no entry says what its surroundings say."""
    *before, who = numbered([*map(Who, others), Who(mine)])
    left = remaining_addresses(who, mine, [(each, each.addresses) for each in before], 32)
    for address in ADDRESSES:
        wanted = holds(mine, address) and not any(holds(each.addresses, address) for each in before)
        assert holds(left, address) == wanted
    assert _needed(left)


def _needed(found: PrefixEntries) -> bool:
    """Whether no entry of a set says what its surroundings say."""
    for entry in found:
        around = [each for each in found if each is not entry and _in(entry.network, each.network)]
        outer = max(around, key=lambda each: each.network.prefixlen, default=None)
        if (outer.matches if outer else False) == entry.matches:
            return False
    return True


@given(st.lists(SETS, max_size=6), st.sets(st.integers(0, 5)), SETS, st.integers(0, 6))
def test_what_many_sets_say_of_some_addresses_is_found_without_asking_all(
    sets: list[PrefixEntries], gone: set[int], mine: PrefixEntries, before: int
) -> None:
    """For every address of these, each set with a number before one says what it says as a whole."""
    some = numbered([*map(Who, sets)])
    prefixes = PrefixIndex[Who](32)
    prefixes.change((), [(who, who.addresses) for who in some])
    prefixes.change([(who, who.addresses) for who in some if who.number in gone], ())
    found = prefixes.about(mine, before)
    for address in (each for each in ADDRESSES if holds(mine, each)):
        for who in some[:before]:
            told = holds(found.get(who, ()), address)
            assert told == (who.number not in gone and holds(who.addresses, address))


def ranges() -> st.SearchStrategy[PortRange]:
    """Ranges of ports, many of which touch or overlap."""
    return st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def leads(root: PortTreeNode[Who], port: int) -> tuple[Who, ...]:
    """Who decides on a port, by the way that a tree leads to its cell."""
    while root.nodes:
        root = next((way for way in root.nodes[:-1] if way.first <= port <= way.last), root.nodes[-1])
    found = [cell.deciding for cell in root.cells if cell.first <= port <= cell.last]
    return found[0] if found else ()


@given(st.data())
def test_the_tree_leads_each_port_to_those_who_decide_on_it(data: st.DataObject) -> None:
    """In their order, however they came and went; cells follow without a gap, and no two that do so are alike."""
    pool = [Who((), tuple(own)) for own in data.draw(st.lists(st.lists(ranges(), min_size=1, max_size=3), max_size=8))]
    found, there = PortCells[Who]((0, 63)), list[Who]()
    for _ in range(3):
        before, wanted = [*found], numbered([who for who in pool if data.draw(st.booleans())])
        changed = diff_sequences(there, wanted)
        found.change(changed.gone, {who: who.ports for who in changed.new})
        instead = {who: Who((), who.ports, who.number) for who in wanted if data.draw(st.booleans())}
        found.swap(instead)
        pool = [instead.get(who, who) for who in pool]
        there = [instead.get(who, who) for who in wanted]
        made = [*found]
        assert [cell.first for cell in made] == [0, *(cell.last + 1 for cell in made[:-1])]
        assert made[-1].last == 63
        assert all(one.deciding != other.deciding for one, other in pairwise(made))
        assert all(cell in made for cell in before if any(_alike(cell, other) for other in made))
        for leaves in (made, [cell for cell in made if cell.deciding]):
            for port in range(64) if leaves else ():
                assert leads(build_port_tree(leaves, (0, 63)), port) == tuple(who for who in there if _about(who, port))


@given(st.sets(st.integers(0, 1023), min_size=1, max_size=300), st.integers(1, 200))
def test_large_trees_lead_there_too(firsts: set[int], most: int) -> None:
    """To cells of one port or many, that begin where they like; no node has more ways than the fan-out, or one."""
    places = sorted(firsts)
    leaves = [
        PortCell(place, min(place + place % most, following - 1), (Who(),))
        for place, following in zip(places, [*places[1:], 1024], strict=True)
    ]
    root = build_port_tree(leaves, (0, 1023))
    for cell in leaves:
        assert all(leads(root, port) == cell.deciding for port in (cell.first, cell.last))
    between = [cell.last + 1 for cell in leaves if cell.last + 1 not in firsts and cell.last < 1023]
    assert not any(leads(root, port) for port in between)
    assert not _unshapely(root)


def _unshapely(node: PortTreeNode[Who]) -> bool:
    return len(node.nodes) == 1 or len(node.nodes) > FANOUT or any(map(_unshapely, node.nodes))


def _about(who: Who, port: int) -> bool:
    return any(low <= port <= high for low, high in who.ports)


def _alike(one: PortCell[Who], other: PortCell[Who]) -> bool:
    return (one.first, one.last, one.deciding) == (other.first, other.last, other.deciding)


@given(st.lists(st.integers(0, 9), unique=True), st.lists(st.integers(0, 9), unique=True))
def test_an_edit_says_what_went_and_came_and_whether_the_rest_kept_its_order(old: list[int], new: list[int]) -> None:
    """Of two sequences without repetition."""
    changed = diff_sequences(old, new)
    assert list(changed.gone) == [each for each in old if each not in new]
    assert list(changed.new) == [each for each in new if each not in old]
    assert changed.in_order == ([each for each in old if each in new] == [each for each in new if each in old])


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
        (AddressBlock(ip_network(peer)),),
        (Traffic(Protocol.TCP, (port, port)),),
    )


def test_one_rule_more_or_less_or_other_touches_little() -> None:
    """Of a thousand on ports of their own, and of a thousand on one: the tree and the sets do not jump about."""
    dice = seeded(7)
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
                    changed[number] = replace(rule, services=(Traffic(Protocol.TCP, (port, port)),))
                case "peer":
                    more = AddressBlock(ip_network(f"172.16.0.{dice.randrange(256)}/32"))
                    changed[number] = replace(rule, peers=(*(rule.peers or ()), more))
                case _:
                    changed[number] = replace(rule, action=Action.DROP if rule.action is Action.ALLOW else Action.ALLOW)
            costs.append(len(diff(before, compiled(changed))))
        assert quantiles(costs, n=20)[-1] <= 20, sorted(costs)


def test_chains_do_not_grow_with_the_rules() -> None:
    """Of a thousand rules on ports of their own a packet comes by less than a tenth."""
    rules = [allowed(number, 2000 + 7 * number, "10.0.0.1/32") for number in range(1000)]
    lengths = [len(chain.rules) for family, _, chain in compiled(rules).chains() if family is Family.IPV4]
    assert sum(length * length for length in lengths) / sum(lengths) < 100


def test_no_tree_is_deeper_than_the_kernel_takes() -> None:
    """nf_tables refuses chains that lead on more than 16 deep, whatever ports there are."""
    every: list[PortCell[Who]] = [PortCell(port, port, ()) for port in range(32768)]
    assert deep(build_port_tree(every, (0, 32767))) <= 8


def deep(node: PortTreeNode[Who]) -> int:
    """How many chains lead to each other from a node on."""
    return 1 + max(map(deep, node.nodes), default=0)


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
            (Traffic(Protocol.SCTP, (60_000, 65_535)),),
            logged=True,
        )
        for direction in Direction
    ]
    for _, _, chain in compiled(rules).chains():
        assert len(chain.name) <= 28


def test_what_would_grow_beyond_bounds_stays_linear() -> None:
    """It is said why, and the linear layout is what comes of it."""
    rules = [allowed(number, 2000 + number, "10.0.0.1/32") for number in range(50)]
    given_ = [each for rule in rules for each in compile_part(rule, OPTIMISED).given[Family.IPV4]]
    with pytest.raises(LayoutLimitExceeded, match="it would take more than 10 rules and members"):
        build_layout(given_, ChainPlace(Family.IPV4, "NW-I", "src"), None, LayoutLimits(0, 10))


def test_it_is_said_what_stays_linear_and_why() -> None:
    """Where rules about every protocol stand between many others, what they leave for each would take too much room."""
    rules = []
    for number in range(400):
        rank = Rank(250, float(number), f"p{number:04}", 0)
        wide = tuple(AddressBlock(ip_network(f"10.{number % 200}.{host}.0/24")) for host in range(64))
        broad = CompletedRule(f"p{number:04}", "r", rank, Direction.INGRESS, Action.DROP, wide)
        services = (Traffic(Protocol.TCP, (number, number)),)
        anybody = CompletedRule(f"p{number:04}", "r", rank, Direction.INGRESS, Action.ALLOW, None, services)
        rules.append(anybody if number % 2 else broad)
    assert list(compile_with_limits(rules, OPTIMISED).notes) == [
        "ingress of IPv4 stays linear: rules about every protocol stand between too many others"
    ]
    assert not compile_with_limits(rules, DEFAULT_OPTIONS).notes
    linear = compile_rules(rules)
    assert compiled(rules).table(Family.IPV4, "filter").chain("NW-INPUT") == linear.table(Family.IPV4, "filter").chain(
        "NW-INPUT"
    )


@pytest.mark.parametrize("looks", [0, 3, 20])
def test_what_takes_too_long_stays_linear(looks: int) -> None:
    """Wherever the time ends, a direction is laid out one way or the other, and it is said which."""
    clock = iter(range(1_000_000))
    rules = [allowed(number, 2000 + number, "10.0.0.1/32") for number in range(200)]
    found = compile_with_limits(rules, OPTIMISED, LayoutLimits(late=lambda: next(clock) >= looks))
    assert found.notes[0] == "ingress of IPv4 stays linear: working it out would take too long"
    linear, chain = compile_rules(rules).table(Family.IPV4, "filter"), "NW-INPUT"
    assert found.ruleset.table(Family.IPV4, "filter").chain(chain) == linear.chain(chain)
    assert not compile_with_limits(rules, OPTIMISED).notes


def test_a_rule_for_many_names_them_and_owns_none() -> None:
    """As many as there is room for; whoever asks for the one owner gets none."""
    few = merged_comment([comment_of("a", "r"), comment_of("b", "s")])
    assert few.endswith(" 2 rules: a/r b/s")
    many = merged_comment([comment_of(f"policy-{number}", "rule") for number in range(100)])
    assert len(many) <= 255
    assert many.endswith(" ~")
    assert owner_of(few) is owner_of(many) is None
    assert owner_of(comment_of("a", "r")) == ("a", "r")
