"""From the parts of all rules to what nodewall owns on a node: jumps, chains and sets.

One linear chain per direction, in which the first match decides; the rules of the baseline tier stand in a chain of
their own, to which the first one leads at its end, and which rules with Pass go to directly. Every verdict carries a
comment that names its policy and rule; :func:`engine.names.owner_of` reads it back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

from engine.compiler.options import DEFAULT_OPTIONS, Options
from engine.compiler.parts import HOOKS, RulePart, chain_of, comment, part_of
from engine.names import comment_of
from engine.rules import STATIC_POLICY, Action, CompletedRule, Direction, Plane
from engine.ruleset import Chain, Family, IpSet, Match, Rule, Ruleset, Table, Target

TABLE = "filter"

_INTERFACE_SIDE = {Direction.INGRESS: "in-interface", Direction.EGRESS: "out-interface"}


def compile_rules(rules: Sequence[CompletedRule], options: Options = DEFAULT_OPTIONS) -> Ruleset:
    """Return what nodewall owns on a node with these rules, in the order given.

    Rules for the Pods on the node are another data plane's and leave no trace here; nor does anything that is off.
    """
    return assemble([part_of(rule, options) for rule in rules if rule.plane is Plane.NODES], options)


def assemble(parts: Sequence[RulePart], options: Options = DEFAULT_OPTIONS) -> Ruleset:
    """Return what the parts amount to, in the order given; each was made with the same options."""
    if not options.enabled:
        return Ruleset()
    ipv4, ipv6 = (
        (Table(TABLE, tuple(_chains(parts, family, options))),) if family in options.families else ()
        for family in Family
    )
    return Ruleset(ipv4, ipv6, _sets(parts))


def assemble_like(known: Ruleset, before: Sequence[RulePart], parts: Sequence[RulePart], options: Options) -> Ruleset:
    """Return what :func:`assemble` does, by what it said of the parts before, with the same options.

    Where only members of sets are others, the rules are the same objects.
    """
    if not options.enabled or len(before) != len(parts) or not all(map(_alike, before, parts)):
        return assemble(parts, options)
    return replace(known, sets=_sets(parts))


def _alike(one: RulePart, other: RulePart) -> bool:
    if one is other:
        return True
    kinds = ((part.rule.direction, part.rule.action, part.rule.baseline) for part in (one, other))
    return (one.ipv4, one.ipv6) == (other.ipv4, other.ipv6) and len(set(kinds)) == 1


def _sets(parts: Sequence[RulePart]) -> tuple[IpSet, ...]:
    return tuple(sorted((item for part in parts for item in part.sets), key=attrgetter("name")))


def _chains(parts: Sequence[RulePart], family: Family, options: Options) -> Iterator[Chain]:
    for direction, hook in HOOKS.items():
        yield Chain(hook.value, tuple(_jumps(direction, options)), jumps_last=options.jumps_last)
    for direction in HOOKS:
        ours = [part for part in parts if part.rule.direction is direction]
        yield from _chains_of(direction, ours, family, options)


def _jumps(direction: Direction, options: Options) -> Iterator[Rule]:
    """Yield the jumps into a direction's chain: one for every interface, or one each for those that are named."""
    sides = [()] if options.interfaces is None else [(_interface(direction, name),) for name in options.interfaces]
    for side in sides:
        yield Rule((*side, comment(comment_of())), Target(chain_of(direction)))


def _interface(direction: Direction, name: str) -> Match:
    return Match("", _INTERFACE_SIDE[direction], (name,))


def _chains_of(direction: Direction, parts: Sequence[RulePart], family: Family, options: Options) -> Iterator[Chain]:
    preamble = tuple(_preamble(direction, options))
    above = tuple(rule for part in parts if not part.rule.baseline for rule in part.rules(family))
    if not any(part.rule.baseline or part.rule.action is Action.PASS for part in parts):
        yield Chain(chain_of(direction), (*preamble, *above))
        return
    last = chain_of(direction, baseline=True)
    onwards = Rule((comment(comment_of()),), Target(last, goto=True))
    yield Chain(chain_of(direction), (*preamble, *above, onwards))
    yield Chain(last, tuple(rule for part in parts if part.rule.baseline for rule in part.rules(family)))


def _preamble(direction: Direction, options: Options) -> Iterator[Rule]:
    known = Match("conntrack", "ctstate", ("RELATED,ESTABLISHED",))
    for match, name in ((_interface(direction, "lo"), "loopback"), (known, "established")):
        yield Rule((match, comment(comment_of(STATIC_POLICY, name))), Target(options.allow))
