"""From the parts of all rules to what nodewall owns on a node: jumps, chains and sets.

One linear chain per direction, in which the first match decides; the rules of the baseline tier stand in a chain of
their own, to which the first one leads at its end, and which rules with Pass go to directly. Every verdict carries a
comment that names its policy and rule; :func:`engine.names.owner_of` reads it back.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter

from engine.compiler.flat import Flat, NotFlat, Place, flattened
from engine.compiler.options import DEFAULT_OPTIONS, Layout, Options
from engine.compiler.parts import ADDRESS_SIDE, HOOKS, RulePart, chain_of, comment, part_of
from engine.names import CHAIN_PREFIX, comment_of
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
    """Return what the parts amount to, in the order given; each was made with the same options.

    Where the layout that is asked for would grow beyond bounds for a direction, that is laid out one by one.
    """
    if not options.enabled:
        return Ruleset()
    tables: dict[Family, tuple[Table, ...]] = {}
    sets = list(_sets(parts) if options.layout is Layout.LINEAR else ())
    for family in Family:
        if family not in options.families:
            tables[family] = ()
            continue
        made = [_direction(direction, parts, family, options) for direction in HOOKS]
        jumps = [
            Chain(hook.value, tuple(_jumps(direction, options)), jumps_last=options.jumps_last)
            for direction, hook in HOOKS.items()
        ]
        tables[family] = (Table(TABLE, (*jumps, *(chain for chains, _ in made for chain in chains))),)
        sets += [item for _, found in made for item in found]
    by_name = {item.name: item for item in sets}
    return Ruleset(tables[Family.IPV4], tables[Family.IPV6], tuple(by_name[name] for name in sorted(by_name)))


def left_linear(rules: Sequence[CompletedRule], options: Options) -> Iterator[str]:
    """Yield why a direction is laid out one by one though the optimised layout is asked for, for each that is."""
    if options.layout is Layout.LINEAR:
        return
    parts = [part_of(rule, options) for rule in rules if rule.plane is Plane.NODES]
    for family in options.families:
        for direction in HOOKS:
            try:
                _flat(direction, [part for part in parts if part.rule.direction is direction], family, options)
            except NotFlat as error:
                yield f"{direction} of {family} stays linear: {error}"


def assemble_like(known: Ruleset, before: Sequence[RulePart], parts: Sequence[RulePart], options: Options) -> Ruleset:
    """Return what :func:`assemble` does, by what it said of the parts before, with the same options.

    Where only members of sets are others, the rules are the same objects.
    """
    if (
        not options.enabled
        or options.layout is not Layout.LINEAR
        or len(before) != len(parts)
        or not all(map(_alike, before, parts))
    ):
        return assemble(parts, options)
    return replace(known, sets=_sets(parts))


def _alike(one: RulePart, other: RulePart) -> bool:
    if one is other:
        return True
    kinds = ((part.rule.direction, part.rule.action, part.rule.baseline) for part in (one, other))
    return (one.ipv4, one.ipv6) == (other.ipv4, other.ipv6) and len(set(kinds)) == 1


def _sets(parts: Sequence[RulePart]) -> tuple[IpSet, ...]:
    return tuple(sorted((item for part in parts for item in part.sets), key=attrgetter("name")))


def _direction(
    direction: Direction, parts: Sequence[RulePart], family: Family, options: Options
) -> tuple[list[Chain], list[IpSet]]:
    """Return the chains of a direction, and the sets that they look into where these are not those of the parts."""
    ours = [part for part in parts if part.rule.direction is direction]
    if options.layout is Layout.OPTIMISED:
        with suppress(NotFlat):
            return _flat(direction, ours, family, options)
        return list(_chains_of(direction, ours, family, options)), list(_sets(ours))
    return list(_chains_of(direction, ours, family, options)), []


def _flat(
    direction: Direction, parts: Sequence[RulePart], family: Family, options: Options
) -> tuple[list[Chain], list[IpSet]]:
    """Return what :func:`_chains_of` does, laid out so that packets come by few rules; raises ``NotFlat``.

    Rules that are ahead of every policy stay one by one in front.
    """
    static = [part for part in parts if part.rule.policy == STATIC_POLICY]
    last = chain_of(direction, baseline=True) if has_baseline(parts) else ""
    onwards = Target(last, goto=True) if last else None
    begin = (*_preamble(direction, options), *(rule for part in static for rule in part.rules(family)))
    rest = [part for part in parts if part.rule.policy != STATIC_POLICY]
    above = _laid(direction, [part for part in rest if not part.rule.baseline], family, onwards)
    chains = [Chain(chain_of(direction), (*begin, *above.rules)), *above.chains]
    sets = [*_sets(static), *above.sets]
    if last:
        below = _laid(direction, [part for part in rest if part.rule.baseline], family, None)
        chains += [Chain(last, below.rules), *below.chains]
        sets += below.sets
    return chains, sets


def _laid(direction: Direction, parts: Sequence[RulePart], family: Family, onwards: Target | None) -> Flat:
    given = [each for part in parts for each in part.given.get(family, ())]
    baseline = "B" if parts and parts[0].rule.baseline else ""
    base = f"{CHAIN_PREFIX}{HOOKS[direction][0]}{baseline}"
    return flattened(given, Place(family, base, ADDRESS_SIDE[direction]), onwards)


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
    if not has_baseline(parts):
        yield Chain(chain_of(direction), (*preamble, *above))
        return
    last = chain_of(direction, baseline=True)
    onwards = Rule((comment(comment_of()),), Target(last, goto=True))
    yield Chain(chain_of(direction), (*preamble, *above, onwards))
    yield Chain(last, tuple(rule for part in parts if part.rule.baseline for rule in part.rules(family)))


def has_baseline(parts: Sequence[RulePart]) -> bool:
    """Return whether the rules of a direction need a chain of the baseline tier."""
    return any(part.rule.baseline or part.rule.action is Action.PASS for part in parts)


def _preamble(direction: Direction, options: Options) -> Iterator[Rule]:
    known = Match("conntrack", "ctstate", ("RELATED,ESTABLISHED",))
    for match, name in ((_interface(direction, "lo"), "loopback"), (known, "established")):
        yield Rule((match, comment(comment_of(STATIC_POLICY, name))), Target(options.allow))
