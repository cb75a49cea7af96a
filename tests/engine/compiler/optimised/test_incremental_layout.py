"""What is compiled with what was worked out before is what is compiled from nothing."""

import random
from dataclasses import replace

import pytest

from engine.compiler import CompilerOptions, Layout, LayoutCaches, RulePart, assemble, compile_part
from engine.compiler.optimised.builder import LayoutLimitExceeded, LayoutLimits
from engine.compiler.optimised.layout import LayoutCache, OptimisedLayout, build_layout
from engine.compiler.optimised.terms import ChainPlace
from engine.compiler.rule_parts import UnitWithSet
from engine.policy.completed_rules import CompletedRule
from engine.policy.resolve import sort_rules
from engine.rulesets.model import Family
from tests.support.rulesets.overlapping_rules import crowded
from tests.support.seeds import seeded

OPTIMISED = CompilerOptions(layout=Layout.OPTIMISED)


def edited(rules: list[CompletedRule], dice: random.Random, number: int) -> list[CompletedRule]:
    """Rules of which some went, came, or became others."""
    rules = list(rules)
    for more in range(dice.choice((1, 1, 3))):
        place = dice.randrange(len(rules))
        other = crowded(f"{number} {more}", 1)[0]
        match dice.choice(("gone", "new", "other", "moved")):
            case "gone" if len(rules) > 2:
                del rules[place]
            case "new":
                rank = replace(rules[place].rank, priority=rules[place].rank.priority + dice.random())
                rules.append(replace(other, policy=f"n{number}-{more}", rank=rank))
            case "other":
                rules[place] = replace(rules[place], services=other.services, peers=other.peers, logged=other.logged)
            case _:
                rank = replace(rules[place].rank, priority=dice.random() * len(rules))
                rules[place] = replace(rules[place], rank=rank)
    return list(sort_rules(rules))


@pytest.mark.parametrize("seed", range(12))
def test_changes_lead_to_what_is_compiled_from_nothing(seed: int) -> None:
    """Rule by rule, of a few and of many, in every direction and family, also back to what was before."""
    dice = seeded(seed)
    rules = crowded(str(seed), dice.choice((3, 20, 80)))
    known: dict[CompletedRule, RulePart] = {}
    memories: LayoutCaches = {}
    states = [rules]
    for number in range(10):
        rules = states[0] if number == 9 else edited(rules, dice, number)
        states.append(rules)
        parts = [known.setdefault(rule, compile_part(rule, OPTIMISED)) for rule in rules]
        assert assemble(parts, OPTIMISED, memories) == assemble(parts, OPTIMISED), (seed, number)


def test_order_alone_is_a_change() -> None:
    """Units that are the same in another order are laid out by that."""
    parts = [compile_part(rule, OPTIMISED) for rule in crowded("order", 40)]
    memories: LayoutCaches = {}
    for some in (parts, parts[::-1], parts[1:] + parts[:1], parts):
        assert assemble(some, OPTIMISED, memories) == assemble(some, OPTIMISED)


@pytest.mark.parametrize("seed", range(6))
def test_what_does_not_fit_leaves_nothing_behind(seed: int) -> None:
    """Whether rules stay within bounds does not depend on what was there before, nor what comes after on these."""
    dice = seeded(seed)
    place = ChainPlace(Family.IPV4, "NW-I", "src")
    memory = LayoutCache(place)
    rules = crowded(f"bounds {seed}", 60)
    known: dict[CompletedRule, RulePart] = {}
    for number in range(12):
        rules = edited(rules, dice, number)
        parts = [known.setdefault(rule, compile_part(rule, OPTIMISED)) for rule in rules]
        given = [each for part in parts for each in part.given[Family.IPV4]]
        bounds = LayoutLimits(1, dice.choice((0, 100, 300, 10_000)))
        assert _tried(given, place, bounds, memory) == _tried(given, place, bounds, LayoutCache(place)), (seed, number)


def _tried(
    given: list[UnitWithSet], place: ChainPlace, bounds: LayoutLimits, memory: LayoutCache
) -> OptimisedLayout | str:
    """What is laid out, or why it cannot be."""
    try:
        return build_layout(given, place, None, bounds, memory)
    except LayoutLimitExceeded as error:
        return str(error)
