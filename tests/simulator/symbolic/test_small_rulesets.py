"""Counts, searches and comparisons are those of brute force, over every packet of small spaces."""

import pytest

from engine.rulesets.model import Family, Hook
from simulator.analysis.compare import compare
from simulator.analysis.search import SearchMode, SearchQuestion, search
from simulator.batch import VERDICTS
from simulator.expression import parse
from simulator.netfilter import Verdict
from tests.support.rulesets.ruleset_builders import SOAK
from tests.support.rulesets.small_rulesets import BASE, Author, Force, read, text, universe

PAIRS = 20_000 if SOAK else 150
"""Of rulesets, in each family."""


def differences(old: Force, new: Force, family: Family) -> dict[tuple[object, ...], int]:
    """Return how many headers get another verdict, by verdicts and deciders."""
    changed = old.verdicts != new.verdicts
    keys = set(
        zip(
            old.verdicts[changed].tolist(),
            new.verdicts[changed].tolist(),
            old.deciders[changed].tolist(),
            new.deciders[changed].tolist(),
            strict=True,
        )
    )
    found: dict[tuple[object, ...], int] = {}
    for was, now, first, second in keys:
        rows = (old.verdicts == was) & (new.verdicts == now) & (old.deciders == first) & (new.deciders == second)
        key = (VERDICTS[was], VERDICTS[now], old.decider(first), new.decider(second))
        found[key] = universe(family).count(rows)
    return found


QUESTIONS = ("", "tcp", "tcp dst port 22", "not tcp", "src {far}", "not src {far} and udp", "ctstate new", "in eth1")


@pytest.mark.parametrize("family", Family)
def test_all_packets_at_once_fare_as_each_alone(family: Family) -> None:
    """In every pair of rulesets, comparisons and searches find what brute force finds, and as many of it."""
    told = 0
    for number in range(PAIRS):
        author = Author(f"small {family} {number}", family)
        rules, sets, policy = author.ruleset(), author.sets(), author.dice.choice(("ACCEPT", "DROP"))
        texts = text(rules, policy), text(author.changed(rules), policy)
        old, new = (read(each, sets, family) for each in texts)
        before, after = Force(old, family), Force(new, family)

        found = compare(old, new, (family,))
        counted = {(each.was, each.now, each.old_decided_by, each.new_decided_by): each.count for each in found}
        assert counted == differences(before, after, family), (number, *texts, sets)
        told += len(found)

        where = author.dice.choice(QUESTIONS).format(far=BASE[family].format(1))
        verdict = author.dice.choice(tuple(Verdict))
        rows = universe(family).meant(where) & after.gets(verdict)
        shown = search(new, SearchQuestion(Hook.INPUT, parse(where), verdict), (family,))
        assert shown.count == universe(family).count(rows), (number, where, verdict, texts[1], sets)
        assert (shown.example is not None) == rows.any()
    assert told > PAIRS


@pytest.mark.parametrize("family", Family)
def test_what_packets_do_not_tell_is_tried_either_way(family: Family) -> None:
    """May is what some outcome of a limit makes true, must what both do."""
    for number in range(PAIRS // 10):
        author = Author(f"free {family} {number}", family)
        rules, sets = author.ruleset(), author.sets()
        place = author.dice.choice(("filter INPUT", "filter A"))
        rules[place].insert(author.dice.randint(0, len(rules[place])), f"LIMIT {author.rule(place)}")
        outcomes = (("-m ttl --ttl-eq 0" if family is Family.IPV4 else "-m hl --hl-eq 0"), "")
        free = read(text(rules, "DROP").replace("LIMIT", "-m limit --limit 1/sec"), sets, family)
        each_way = [Force(read(text(rules, "DROP").replace("LIMIT", way), sets, family), family) for way in outcomes]
        for verdict in Verdict:
            never, always = (each.gets(verdict) for each in each_way)
            for mode, rows in ((SearchMode.MAY, never | always), (SearchMode.MUST, never & always)):
                found = search(free, SearchQuestion(Hook.INPUT, parse(""), verdict, mode), (family,))
                assert found.count == universe(family).count(rows), (number, verdict, mode, text(rules, "DROP"), sets)
