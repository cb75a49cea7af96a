"""Searches and comparisons over all packets, each confirmed by packets alone."""

import pytest

from engine.errors import NoProof, WitnessMismatch
from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_tables
from simulator.analysis.compare import compare
from simulator.analysis.search import SearchMode, SearchQuestion, search
from simulator.analysis.witness import confirm_example, replay_example
from simulator.expression import parse
from simulator.netfilter import Decision, Verdict, Walker
from simulator.symbolic import Budget, SymbolicContext, SymbolicRulesetReader, example
from tests.support.rulesets.random_rulesets import ruleset

WORLDS = range(40)


def rules(*lines: str, policy: str = "ACCEPT") -> Ruleset:
    """Return rules of IPv4 for what comes in."""
    text = "".join(f"-A INPUT {line}\n" for line in lines)
    return Ruleset(ipv4=parse_tables(f"*filter\n:INPUT {policy} [0:0]\n{text}COMMIT\n"))


def asked(verdict: Verdict, where: str = "", mode: SearchMode = SearchMode.MAY) -> SearchQuestion:
    """Return a question about what comes in."""
    return SearchQuestion(Hook.INPUT, parse(where), verdict, mode)


SSH = rules("-s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT", "-p tcp --dport 22 -m limit --limit 1/sec -j DROP")
V4 = (Family.IPV4,)


def test_a_search_finds_a_packet_and_counts_all() -> None:
    """What gets through is found with who lets it through; a header is an address pair with a source port here."""
    found = search(SSH, asked(Verdict.ACCEPT, "src net 10.0.0.0/8 and tcp dst port 22"), V4)

    assert found.count == 2**24 * 2**32 * 2**16
    assert found.decided_by == Decision("filter", "INPUT", 1)
    assert found.example is not None
    assert (found.example.dport, found.example.src.exploded[:3]) == (22, "10.")
    assert found.assumptions == ()


def test_none_is_a_proof() -> None:
    """No packet of the network is dropped, whatever the limit says."""
    assert search(SSH, asked(Verdict.DROP, "src net 10.0.0.0/8"), V4).count == 0


def test_what_may_happen_need_not() -> None:
    """A limit may drop a packet, so that one is found with its assumption; none must be dropped."""
    found = search(SSH, asked(Verdict.DROP, "tcp dst port 22"), V4)

    assert found.count == (2**32 - 2**24) * 2**32 * 2**16
    assert found.assumptions == ("filter/INPUT rule 2: '-m limit --limit 1/sec' is taken to match",)
    assert search(SSH, asked(Verdict.DROP, "tcp dst port 22", SearchMode.MUST), V4).count == 0


def test_too_little_memory_or_time_is_no_proof() -> None:
    """A search that may use no memory, or has no time, says so."""
    with pytest.raises(NoProof, match="memory"):
        search(SSH, asked(Verdict.DROP), V4, Budget(nodes=8))
    with pytest.raises(NoProof, match="time"):
        search(SSH, asked(Verdict.DROP), V4, Budget(patience=lambda: False))


def test_a_comparison_names_what_changes_and_who_decides() -> None:
    """A narrower network changes just the addresses that it lost."""
    old, new = (
        rules(f"-s {network} -p tcp --dport 22 -j ACCEPT", "-p tcp --dport 22 -j DROP")
        for network in ("10.0.0.0/8", "10.0.0.0/9")
    )
    (change,) = compare(old, new)

    assert (change.was, change.now, change.hull["src"]) == (Verdict.ACCEPT, Verdict.DROP, ("10.128.0.0/9",))
    assert change.summary == (
        "TCP 22 from 10.128.0.0/9 changes from accept (filter/INPUT rule 1) to drop (filter/INPUT rule 2)"
    )
    assert change.count == 2**23 * 2**32 * 2**16


def test_who_decides_counts_once_however_packets_came() -> None:
    """A rule that drops what two rules of a table before let on decides on one group of packets."""
    before = "*mangle\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.2 -j ACCEPT\nCOMMIT\n"
    filters = ("-A INPUT -p tcp --dport 22 -j DROP\n", "")
    old, new = (Ruleset(ipv4=parse_tables(f"{before}*filter\n:INPUT ACCEPT [0:0]\n{text}COMMIT\n")) for text in filters)

    (change,) = compare(old, new)

    assert (change.old_decided_by, change.new_decided_by) == tuple(Decision("filter", "INPUT", n) for n in (1, 0))
    assert change.count == 2**32 * 2**32 * 2**16


def test_order_that_makes_no_difference_is_none() -> None:
    """Rules that commute may stand in either order."""
    first, second = "-p tcp --dport 22 -j ACCEPT", "-p udp --dport 53 -j DROP"

    assert compare(rules(first, second), rules(second, first)) == ()


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("place", WORLDS)
def test_what_changes_changes_for_the_packet_shown(family: Family, place: int) -> None:
    """Under random rulesets the example of each change gets the old verdict and then the new one, by its deciders."""
    old, new = (ruleset(family, f"compare {family} {place} {side}") for side in "ab")
    found = compare(old, new, (family,))

    assert found
    for change in found:
        if not change.assumptions:
            for world, verdict, by in (
                (old, change.was, change.old_decided_by),
                (new, change.now, change.new_decided_by),
            ):
                answer = Walker(world).verdict(change.example, change.hook)
                assert (answer.verdict, answer.decided_by) == (verdict, by)


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("place", WORLDS)
@pytest.mark.parametrize("verdict", Verdict)
def test_what_must_get_a_verdict_gets_it(family: Family, place: int, verdict: Verdict) -> None:
    """Under random rulesets a packet that must get a verdict gets it by a single walk, and is counted in what may."""
    world = ruleset(family, f"search {family} {place}")
    for hook in Hook:
        must, may = (
            search(world, SearchQuestion(hook, parse(""), verdict, mode), (family,))
            for mode in (SearchMode.MUST, SearchMode.MAY)
        )
        assert must.count <= may.count
        if must.example is not None:
            assert Walker(world).verdict(must.example, hook).verdict is verdict


def test_an_example_that_the_simulator_denies_is_never_shown() -> None:
    """If the two ways to judge packets differ, that is an error, not a result."""
    library = SymbolicRulesetReader(Family.IPV4)
    world = library.read(SSH)
    atlas = SymbolicContext.of(library, [world])
    shown = example(atlas.space, atlas.fates(world, Hook.INPUT).verdicts[Verdict.ACCEPT])
    assert shown is not None

    with pytest.raises(WitnessMismatch, match="a fault of nodewall's"):
        confirm_example(SSH, Hook.INPUT, shown, Verdict.DROP)


def test_rules_keep_their_numbers_when_their_matches_are_answered() -> None:
    """A limit that is to match, or not to, leaves the rule where it is."""
    library = SymbolicRulesetReader(Family.IPV4)
    world = library.read(SSH)
    atlas = SymbolicContext.of(library, [world], [parse("tcp dst port 22")])
    meant = atlas.meant(parse("tcp dst port 22"))
    for verdict, rule in ((Verdict.DROP, 2), (Verdict.ACCEPT, 0)):
        outside = atlas.fates(world, Hook.INPUT).verdicts[verdict] & meant
        outside &= ~atlas.space.anyhow(atlas.fates(world, Hook.INPUT).verdicts[Verdict.ACCEPT])
        shown = example(atlas.space, outside)
        assert shown is not None
        answer = replay_example(SSH, Hook.INPUT, shown)
        assert answer is not None
        assert answer.decided_by is not None
        assert (answer.verdict, answer.decided_by.rule) == (verdict, rule)
