"""Assembles compiled rule parts into nodewall's ruleset of one node: jumps, chains and sets.

Input: `CompletedRule` values (policy rules with addresses), or the `RulePart` values compiled from them, and
`CompilerOptions`. Output: `Ruleset`, or `Compiled`: a `Ruleset` with notes. A note names a direction that got the
linear layout, because its optimised layout exceeded a limit.

The linear layout has one chain per direction (ingress, egress), in which the first matching rule decides. Rules of the
baseline tier have their own chain: the first chain ends with a goto to it, and Pass rules go there directly. Each
verdict rule has a comment with its policy and rule; :func:`engine.rulesets.ownership.owner_of` parses it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from engine.compiler.optimised.builder import DEFAULT_LIMITS, LayoutLimitExceeded, LayoutLimits
from engine.compiler.optimised.layout import LayoutCache, OptimisedLayout, build_layout
from engine.compiler.optimised.terms import ChainPlace
from engine.compiler.options import DEFAULT_OPTIONS, CompilerOptions, Layout
from engine.compiler.rule_parts import ADDRESS_SIDE, HOOKS, RulePart, chain_of, comment, compile_part
from engine.policy.completed_rules import STATIC_POLICY, Action, CompletedRule, Direction, Plane
from engine.rulesets.model import Chain, Family, IpSet, Match, Rule, Ruleset, Table, Target
from engine.rulesets.ownership import CHAIN_PREFIX, comment_of

TABLE = "filter"

_INTERFACE_SIDE = {Direction.INGRESS: "in-interface", Direction.EGRESS: "out-interface"}


def compile_rules(rules: Sequence[CompletedRule], options: CompilerOptions = DEFAULT_OPTIONS) -> Ruleset:
    """Compile the rules of a node, in the order given, to the ruleset that nodewall owns there.

    Rules for Pods are skipped, because another data plane enforces them. The ruleset is empty if enforcement is
    disabled.
    """
    return compile_with_limits(rules, options).ruleset


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled ruleset; ``notes`` say which directions stayed linear in spite of the optimised layout, and why."""

    ruleset: Ruleset
    notes: tuple[str, ...] = ()


def compile_with_limits(
    rules: Sequence[CompletedRule], options: CompilerOptions = DEFAULT_OPTIONS, bounds: LayoutLimits = DEFAULT_LIMITS
) -> Compiled:
    """Compile like `compile_rules`, with limits on the optimised layout; the notes name what exceeded them."""
    parts = [compile_part(rule, options) for rule in rules if rule.plane is Plane.NODES]
    return _assembled(parts, options, {}, bounds)


LayoutCaches = dict[ChainPlace, LayoutCache]
"""Cached layout work by chain place; starts empty. It affects the speed of compiling, never the result."""


def assemble(
    parts: Sequence[RulePart], options: CompilerOptions = DEFAULT_OPTIONS, memories: LayoutCaches | None = None
) -> Ruleset:
    """Combine parts, in the order given, to a ruleset; all parts must come from the same options.

    A direction that exceeds the limits of the optimised layout gets the linear layout.

    Args:
        parts: one part per rule.
        options: the options that the parts were compiled with.
        memories: caches of the optimised layout, updated in place; None for no caching.
    """
    return _assembled(parts, options, {} if memories is None else memories, DEFAULT_LIMITS).ruleset


def _assembled(
    parts: Sequence[RulePart], options: CompilerOptions, memories: LayoutCaches, bounds: LayoutLimits
) -> Compiled:
    if not options.enabled:
        return Compiled(Ruleset())
    laying = _Laying(options, memories, bounds)
    tables: dict[Family, tuple[Table, ...]] = {}
    sets = list(_sets(parts) if options.layout is Layout.LINEAR else ())
    grouped = _grouped(parts)
    for family in Family:
        if family not in options.families:
            tables[family] = ()
            continue
        made = [laying.direction(grouped[direction], family) for direction in HOOKS]
        jumps = [
            Chain(hook.value, tuple(_jumps(direction, options)), jumps_last=options.jumps_last)
            for direction, hook in HOOKS.items()
        ]
        tables[family] = (Table(TABLE, (*jumps, *(chain for chains, _ in made for chain in chains))),)
        sets += [item for _, found in made for item in found]
    by_name = {item.name: item for item in sets}
    ruleset = Ruleset(tables[Family.IPV4], tables[Family.IPV6], tuple(by_name[name] for name in sorted(by_name)))
    return Compiled(ruleset, tuple(laying.notes))


def assemble_incrementally(
    known: Ruleset,
    before: Sequence[RulePart],
    parts: Sequence[RulePart],
    options: CompilerOptions,
    memories: LayoutCaches,
) -> Ruleset:
    """Return the result of `assemble`, reusing the ruleset ``known`` that the parts ``before`` gave.

    If only set members differ, the chains are the same objects.
    """
    if (
        not options.enabled
        or options.layout is not Layout.LINEAR
        or len(before) != len(parts)
        or not all(map(_alike, before, parts))
    ):
        return assemble(parts, options, memories)
    return replace(known, sets=_sets(parts))


def _alike(one: RulePart, other: RulePart) -> bool:
    if one is other:
        return True
    kinds = ((part.rule.direction, part.rule.action, part.rule.baseline) for part in (one, other))
    return (one.ipv4, one.ipv6) == (other.ipv4, other.ipv6) and len(set(kinds)) == 1


def _sets(parts: Sequence[RulePart]) -> tuple[IpSet, ...]:
    return tuple(sorted((item for part in parts for item in part.sets), key=attrgetter("name")))


@dataclass(slots=True)
class _Group:
    """Parts of one direction in evaluation order: static rules before all policies, tiered rules, baseline rules."""

    direction: Direction
    static: list[RulePart] = field(default_factory=list)
    tiers: list[RulePart] = field(default_factory=list)
    baseline: list[RulePart] = field(default_factory=list)

    last: Target | None = None
    """Target that leads to the baseline chain; None if no baseline chain is needed."""


def _grouped(parts: Sequence[RulePart]) -> dict[Direction, _Group]:
    found = {direction: _Group(direction) for direction in HOOKS}
    for part in parts:
        rule = part.rule
        group = found[rule.direction]
        below = rule.baseline
        (group.static if rule.policy == STATIC_POLICY else group.baseline if below else group.tiers).append(part)
        if group.last is None and (below or rule.action is Action.PASS):
            group.last = Target(chain_of(rule.direction, baseline=True), goto=True)
    return found


@dataclass(slots=True)
class _Laying:
    """Lays out directions and collects notes about those that stayed linear."""

    options: CompilerOptions
    memories: LayoutCaches
    bounds: LayoutLimits
    notes: list[str] = field(default_factory=list)

    def direction(self, group: _Group, family: Family) -> tuple[list[Chain], list[IpSet]]:
        """Return the chains of a direction, and the sets that they use if these are not the sets of the parts."""
        if self.options.layout is Layout.LINEAR:
            return list(_chains_of(group, family, self.options)), []
        try:
            return self._flat(group, family)
        except LayoutLimitExceeded as error:
            self.notes.append(f"{group.direction} of {family} stays linear: {error}")
        sets = _sets([*group.static, *group.tiers, *group.baseline])
        return list(_chains_of(group, family, self.options)), list(sets)

    def _flat(self, group: _Group, family: Family) -> tuple[list[Chain], list[IpSet]]:
        """Return the chains and sets of a direction in the optimised layout.

        Static rules stay in linear order at the start of the chain.
        """
        begin = (*_preamble(group.direction, self.options), *_rules(group.static, family))
        above = self._laid(group.tiers, _place(group, family), group.last)
        chains = [Chain(chain_of(group.direction), (*begin, *above.rules)), *above.chains]
        sets = [*_sets(group.static), *above.sets]
        if group.last is not None:
            below = self._laid(group.baseline, _place(group, family, "B"), None)
            chains += [Chain(group.last.name, below.rules), *below.chains]
            sets += below.sets
        return chains, sets

    def _laid(self, parts: Sequence[RulePart], place: ChainPlace, onwards: Target | None) -> OptimisedLayout:
        given = [each for part in parts for each in part.given.get(place.family, ())]
        return build_layout(given, place, onwards, self.bounds, self.memories.setdefault(place, LayoutCache(place)))


def _place(group: _Group, family: Family, tier: str = "") -> ChainPlace:
    return ChainPlace(family, f"{CHAIN_PREFIX}{HOOKS[group.direction][0]}{tier}", ADDRESS_SIDE[group.direction])


def _jumps(direction: Direction, options: CompilerOptions) -> Iterator[Rule]:
    """Yield the jumps into a direction's chain: one for all interfaces, or one per named interface."""
    sides = [()] if options.interfaces is None else [(_interface(direction, name),) for name in options.interfaces]
    for side in sides:
        yield Rule((*side, comment(comment_of())), Target(chain_of(direction)))


def _interface(direction: Direction, name: str) -> Match:
    return Match("", _INTERFACE_SIDE[direction], (name,))


def _chains_of(group: _Group, family: Family, options: CompilerOptions) -> Iterator[Chain]:
    onwards = [Rule((comment(comment_of()),), group.last)] if group.last is not None else []
    above = (*_preamble(group.direction, options), *_rules([*group.static, *group.tiers], family))
    yield Chain(chain_of(group.direction), (*above, *onwards))
    if group.last is not None:
        yield Chain(group.last.name, tuple(_rules(group.baseline, family)))


def _rules(parts: Sequence[RulePart], family: Family) -> Iterator[Rule]:
    return (rule for part in parts for rule in part.rules(family))


def _preamble(direction: Direction, options: CompilerOptions) -> Iterator[Rule]:
    known = Match("conntrack", "ctstate", ("RELATED,ESTABLISHED",))
    for match, name in ((_interface(direction, "lo"), "loopback"), (known, "established")):
        yield Rule((match, comment(comment_of(STATIC_POLICY, name))), Target(options.allow))
