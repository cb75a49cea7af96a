"""The changes between two rulesets."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import combinations, pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rulesets.diff import (
    ChainChange,
    JumpPlaced,
    JumpRemoved,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    RuleDeleted,
    RuleInserted,
    RulesetChange,
    SetCreated,
    SetDestroyed,
    apply_changes,
    diff,
    owned_part,
)
from engine.rulesets.kept_rules import kept_pairs
from engine.rulesets.model import Chain, Family, IpSet, Member, Rule, Ruleset, Table
from engine.rulesets.plan import make_plan
from tests.support.rulesets.ruleset_builders import FOREIGN, arranged, kernel_rule, observed_rulesets, owned_rulesets

JUMP = kernel_rule("NW-INPUT", told="nodewall")
OTHER_JUMP = kernel_rule("NW-OTHER", told="nodewall")
RULES = {letter: kernel_rule("DROP", told=letter) for letter in "abcdefgh"}


def chain_of(letters: str) -> tuple[Rule, ...]:
    """Rules by their comments."""
    return tuple(RULES[letter] for letter in letters)


def holding(name: str, rules: Sequence[Rule]) -> Ruleset:
    """A ruleset of one chain."""
    return Ruleset(ipv4=(Table("filter", (Chain(name, tuple(rules)),)),))


def with_set(*members: tuple[str, ...], kind: str = "hash:net") -> Ruleset:
    """A ruleset of one set."""
    return Ruleset(sets=(IpSet("nw-4-a", kind, Family.IPV4, members),))


def foreign(ruleset: Ruleset) -> object:
    """What in a ruleset is not ours, in its order."""
    chains = [
        (
            family,
            table.name,
            chain.name,
            chain.policy,
            [rule for rule in chain.rules if rule.target is None or not rule.target.owned],
        )
        for family, table, chain in ruleset.chains()
        if not chain.owned
    ]
    return [entry for entry in chains if entry[3] or entry[4]], [item for item in ruleset.sets if not item.owned]


def longest(old: Sequence[Rule], new: Sequence[Rule]) -> int:
    """The length of a longest common subsequence, by the quadratic table."""
    row = [0] * (len(new) + 1)
    for rule in old:
        above = row
        row = [0]
        for at, other in enumerate(new):
            row.append(above[at] + 1 if rule == other else max(row[at], above[at + 1]))
    return row[-1]


@given(observed_rulesets(), owned_rulesets())
def test_the_changes_lead_to_what_is_wanted(observed: Ruleset, wanted: Ruleset) -> None:
    """After the changes our part is what was wanted, and the part of others is what it was."""
    after = apply_changes(observed, diff(observed, wanted))
    assert arranged(owned_part(after)) == arranged(owned_part(wanted))
    assert foreign(after) == foreign(observed)
    assert diff(after, wanted) == ()


@given(observed_rulesets(), observed_rulesets())
def test_what_others_own_in_the_wanted_is_left_out(observed: Ruleset, wanted: Ruleset) -> None:
    """Chains and sets of others in the wanted ruleset make no changes."""
    assert diff(observed, wanted) == diff(observed, owned_part(wanted))


@given(observed_rulesets(), owned_rulesets())
def test_nothing_differs_from_itself(observed: Ruleset, wanted: Ruleset) -> None:
    """No ruleset differs from itself, nor from our part of itself once the jumps are in their place."""
    in_place = apply_changes(observed, diff(observed, owned_part(observed)))
    assert diff(in_place, in_place) == ()
    assert diff(in_place, owned_part(in_place)) == ()
    assert diff(wanted, wanted) == ()


@given(owned_rulesets())
def test_all_of_ours_comes_and_goes(wanted: Ruleset) -> None:
    """From nothing to a ruleset and back, nothing is left."""
    there = apply_changes(Ruleset(), diff(Ruleset(), wanted))
    assert arranged(owned_part(apply_changes(there, diff(there, Ruleset())))) == Ruleset()


LETTERS = st.text("abcd", max_size=14)


@given(LETTERS, LETTERS)
def test_as_many_rules_are_kept_as_can_be(old: str, new: str) -> None:
    """The kept rules are equal, in order, and as many as the quadratic algorithm keeps."""
    pairs = kept_pairs(chain_of(old), chain_of(new))
    assert all(old[a] == new[b] for a, b in pairs)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))
    assert len(pairs) == longest(chain_of(old), chain_of(new))


def kept_at_most(old: str, new: str) -> int:
    """The most letters that both have in order, by trying all of them."""
    for size in range(min(len(old), len(new)), 0, -1):
        kept = {"".join(chosen) for chosen in combinations(old, size)}
        if kept & {"".join(chosen) for chosen in combinations(new, size)}:
            return size
    return 0


def test_small_chains_take_the_fewest_edits() -> None:
    """No way from one small chain to another has fewer edits: all of them are tried."""
    words = ["".join(letters) for size in range(5) for letters in product("abc", repeat=size)]
    for old in words:
        for new in words[:: 1 if len(old) < 4 else 7]:
            before, after = holding("NW-A", chain_of(old)), holding("NW-A", chain_of(new))
            changes = diff(before, after)
            assert len(changes) == len(old) + len(new) - 2 * kept_at_most(old, new)
            assert apply_changes(before, changes) == after


def edits(old: str, new: str) -> list[tuple[str, int, str, bool]]:
    """The edits of one chain in short."""
    found: list[tuple[str, int, str, bool]] = []
    for change in diff(holding("NW-A", chain_of(old)), holding("NW-A", chain_of(new))):
        assert isinstance(change, RuleInserted | RuleDeleted)
        at_end = isinstance(change, RuleInserted) and change.at_end
        found.append((type(change).__name__, change.position, change.rule.comment, at_end))
    return found


@pytest.mark.parametrize(
    "old,new,expected",
    [
        ("ab", "acb", [("RuleInserted", 2, "c", False)]),
        ("ab", "abc", [("RuleInserted", 3, "c", True)]),
        ("ab", "cab", [("RuleInserted", 1, "c", False)]),
        ("abc", "ac", [("RuleDeleted", 2, "b", False)]),
        ("abc", "adc", [("RuleDeleted", 2, "b", False), ("RuleInserted", 2, "d", False)]),
        ("ab", "ac", [("RuleDeleted", 2, "b", False), ("RuleInserted", 2, "c", True)]),
        ("aa", "a", [("RuleDeleted", 1, "a", False)]),
    ],
)
def test_an_edit_says_where(old: str, new: str, expected: list[tuple[str, int, str, bool]]) -> None:
    """Positions count from 1 once the edits before were made; deletions of a gap come before its insertions."""
    assert edits(old, new) == expected


@given(observed_rulesets(), owned_rulesets())
def test_an_insertion_stands_before_an_old_rule_or_last(observed: Ruleset, wanted: Ruleset) -> None:
    """Right behind an insertion that is not at the end stands a rule that was there before or comes with it.

    iptables-nft-restore finds no other place inside a transaction.
    """
    state = observed
    for change in diff(observed, wanted):
        if isinstance(change, RuleInserted):
            chain = state.table(change.family, change.table).chain(change.chain)
            length = len(chain.rules) if chain else 0
            assert change.position == length + 1 if change.at_end else change.position <= length
        state = apply_changes(state, (change,))


FIRST = (JUMP, *FOREIGN)


@pytest.mark.parametrize(
    "found,wanted",
    [
        (FOREIGN, (JUMP,)),
        ((), (JUMP,)),
        ((*FOREIGN, JUMP), (JUMP,)),
        ((FOREIGN[0], JUMP, *FOREIGN[1:]), (JUMP,)),
        ((JUMP, JUMP, *FOREIGN), (JUMP,)),
        ((JUMP, *FOREIGN, JUMP), (JUMP,)),
        ((JUMP, *FOREIGN, OTHER_JUMP), (JUMP,)),
        ((OTHER_JUMP, JUMP, *FOREIGN), (JUMP, OTHER_JUMP)),
        ((replace(JUMP, matches=()), *FOREIGN), (JUMP,)),
        (FIRST, ()),
        ((FOREIGN[0], JUMP), ()),
    ],
)
def test_jumps_are_repaired(found: tuple[Rule, ...], wanted: tuple[Rule, ...]) -> None:
    """Jumps that are missing, moved, doubled, changed or too many are put first; others' rules keep their order."""
    after = apply_changes(holding("INPUT", found), diff(holding("INPUT", found), holding("INPUT", wanted)))
    rest = tuple(rule for rule in found if rule.target and not rule.target.owned)
    assert after == holding("INPUT", (*wanted, *rest))


def test_jumps_in_their_place_stay() -> None:
    """Jumps that stand first in their order are not touched."""
    assert diff(holding("INPUT", FIRST), holding("INPUT", (JUMP,))) == ()


def test_a_jump_in_a_chain_of_others_goes() -> None:
    """A jump of ours that somebody's own chain holds goes, and that chain stays."""
    found = holding("THEIRS", (*FOREIGN, JUMP))
    assert diff(found, Ruleset()) == (JumpRemoved(Family.IPV4, "filter", "THEIRS", JUMP),)
    assert apply_changes(found, diff(found, Ruleset())) == holding("THEIRS", FOREIGN)


HOST, NET, NO_NET = ("10.0.0.1",), ("10.0.0.0/8",), ("10.0.0.0/8", "nomatch")


@pytest.mark.parametrize(
    "before,after,expected",
    [
        (with_set(), with_set(HOST), (MemberAdded("nw-4-a", HOST),)),
        (with_set(HOST), with_set(), (MemberRemoved("nw-4-a", HOST),)),
        (with_set(NET), with_set(NO_NET), (MemberChanged("nw-4-a", NO_NET),)),
        (with_set(NO_NET), with_set(NET), (MemberChanged("nw-4-a", NET),)),
        (Ruleset(), with_set(HOST), (SetCreated(with_set().sets[0]), MemberAdded("nw-4-a", HOST))),
        (with_set(HOST), Ruleset(), (SetDestroyed("nw-4-a"),)),
        (
            with_set(HOST, kind="hash:ip"),
            with_set(HOST),
            (SetDestroyed("nw-4-a", replaced=True), SetCreated(with_set().sets[0]), MemberAdded("nw-4-a", HOST)),
        ),
    ],
)
def test_a_set_takes_the_fewest_edits(before: Ruleset, after: Ruleset, expected: tuple[RulesetChange, ...]) -> None:
    """A member comes, goes or changes its flags in one edit; a set of another kind is made anew."""
    assert diff(before, after) == expected
    assert apply_changes(before, expected) == after


def test_a_chain_goes_with_its_rules() -> None:
    """A chain of ours that is not wanted goes in one change."""
    assert diff(holding("NW-A", chain_of("abc")), Ruleset()) == (
        ChainChange(Family.IPV4, "filter", "NW-A", created=False),
    )


def test_hints_and_counters_make_no_change() -> None:
    """What the kernel counts or picks by itself is no difference."""
    counted = replace(RULES["a"], counters=(1, 60))
    assert diff(holding("NW-A", [counted]), holding("NW-A", [RULES["a"]])) == ()
    grown = Ruleset(sets=(replace(with_set().sets[0], hints=(("hashsize", "2048"),)),))
    assert diff(grown, with_set()) == ()


def test_a_new_jump_is_placed() -> None:
    """A jump comes by one change."""
    assert diff(holding("INPUT", FOREIGN), holding("INPUT", (JUMP,))) == (
        JumpPlaced(Family.IPV4, "filter", "INPUT", JUMP),
    )


NETS = [f"10.0.0.{start}/{length}" for length in (28, 29, 30, 31) for start in range(0, 16, 1 << 32 - length)]
MEMBERS = st.dictionaries(
    st.sampled_from([*NETS, *(f"10.0.0.{host}" for host in range(16))]), st.booleans(), max_size=8
)


def members_of(found: dict[str, bool]) -> tuple[Member, ...]:
    """Return members of a set, those that are false as exceptions."""
    return tuple(sorted((text,) if matches else (text, "nomatch") for text, matches in found.items()))


def is_in(host: int, members: Sequence[Member]) -> bool:
    """Whether an address is in a set: its most specific member says so."""
    around = [(ip_network(text).prefixlen, not flags) for text, *flags in members if _holds(ip_network(text), host)]
    return bool(around) and max(around)[1]


def _holds(network: IPv4Network | IPv6Network, host: int) -> bool:
    return int(network.network_address) <= (10 << 24) + host <= int(network.broadcast_address)


@given(before=MEMBERS, after=MEMBERS)
def test_an_address_is_in_a_set_as_before_or_as_after_all_along(
    before: dict[str, bool], after: dict[str, bool]
) -> None:
    """After every single change of members each address is in the set as it was, or already as it will be."""
    old, new = (Ruleset(sets=(replace(with_set().sets[0], members=members_of(each)),)) for each in (before, after))
    changes = make_plan(diff(old, new)).changes
    between = old.sets[0]
    for count in range(1, len(changes) + 1):
        (between,) = apply_changes(old, changes[:count]).sets
        for host in range(16):
            assert is_in(host, between.members) in {is_in(host, each.sets[0].members) for each in (old, new)}
    assert between == new.sets[0]
