"""Search for packets that get a given verdict: counts their headers, and returns one example with its deciding rule.

Input: a `Ruleset` and a `SearchQuestion` (hook, packet expression, verdict). Output: a `SearchResult`, with the exact
number of headers among all packets.

Raises `Refused` if a rule refers to a missing set or chain, or if jumps form a loop. Raises `NoProof` if the budget of
memory or time is exceeded, and `WitnessMismatch` if the packet simulator computes another verdict for the example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.rulesets.model import Family, Hook, Ruleset
from simulator.analysis.witness import assumed_results, confirm_example
from simulator.expression import Expression
from simulator.netfilter import Decision, Verdict
from simulator.packets import Packet
from simulator.symbolic import (
    BddFunction,
    Budget,
    SymbolicContext,
    SymbolicRuleset,
    SymbolicRulesetReader,
    count,
    example,
    is_false,
    within_limits,
)
from simulator.symbolic.context import UNLIMITED


class SearchMode(StrEnum):
    """Packets that count: those that may get the verdict, or those that must, whatever unmodelled matches do."""

    MAY = "may"
    MUST = "must"


@dataclass(frozen=True, slots=True)
class SearchQuestion:
    """Packets to search: those that match an expression and get a verdict at a hook."""

    hook: Hook
    where: Expression
    verdict: Verdict
    mode: SearchMode = SearchMode.MAY


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Number of headers found, one example packet, its deciding rule, and the assumptions behind it.

    See `simulator.symbolic.count` for the meaning of the number.
    """

    count: int = 0
    example: Packet | None = None
    decided_by: Decision | None = None
    assumptions: tuple[str, ...] = ()


def search(
    ruleset: Ruleset, asked: SearchQuestion, families: Sequence[Family] = tuple(Family), budget: Budget = UNLIMITED
) -> SearchResult:
    """Return the packets of some families that the question asks for.

    Raises:
        Refused: The ruleset lacks a set or chain, or has a loop.
        NoProof: The budget of memory or time is exceeded, so nothing is proved.
        WitnessMismatch: The packet simulator disagrees.
    """
    total, first = 0, SearchResult()
    for family in families:
        found = _searched(ruleset, asked, family, budget)
        total += found.count
        first = found if first.example is None else first
    return SearchResult(total, first.example, first.decided_by, first.assumptions)


def _searched(ruleset: Ruleset, asked: SearchQuestion, family: Family, budget: Budget) -> SearchResult:
    library = SymbolicRulesetReader(family)
    world = library.read(ruleset)
    atlas = SymbolicContext.of(library, [world], [asked.where], budget)
    fates = atlas.fates(world, asked.hook)
    with within_limits():
        found = fates.verdicts[asked.verdict] & atlas.meant(asked.where)
        if asked.mode is SearchMode.MUST:
            found = atlas.space.anyhow(found)
        if is_false(found):
            return SearchResult()
        return _search_result(atlas, world, asked, found)


def _search_result(
    atlas: SymbolicContext, world: SymbolicRuleset, asked: SearchQuestion, found: BddFunction
) -> SearchResult:
    must = asked.mode is SearchMode.MUST
    # In mode must the verdict is certain, but the deciding rule may depend on unmodelled matches: any rule may decide.
    end = None if must else atlas.decided(world, asked.hook, found)
    shown = example(atlas.space, found if end is None else end.packets)
    if shown is None:
        return SearchResult()
    answer = confirm_example(world.ruleset, asked.hook, shown, asked.verdict, end)
    decision = answer.decided_by if answer else end.decision if end else None
    assumptions = () if must else (*assumed_results(world.ruleset, shown), *(answer.assumptions if answer else ()))
    return SearchResult(count(atlas.space, found), shown.packet, decision, assumptions)
