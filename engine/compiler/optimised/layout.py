"""Optimised layout: arranges policy rules so that a packet meets few kernel rules, however many policies exist.

Input: `UnitWithSet` values (parts of policy rules with their address sets) in evaluation order, and a `ChainPlace`
(address family, chain name prefix, source or destination side). Output: `OptimisedLayout` (rules, chains and sets).
Raises `LayoutLimitExceeded` if the layout would be too large or take too long.

Three computations at compile time replace work per packet:

- a search tree of chains finds the rules for a port (:mod:`engine.compiler.optimised.port_tree`);
- disjoint sets find the first matching rule for an address (:mod:`engine.compiler.optimised.set_merging`);
- subtraction (:mod:`engine.compiler.optimised.subtraction`) removes addresses that earlier rules without a protocol
  match decide, so that all such rules can come last.

`LayoutCache` keeps intermediate results, so that a small change costs little; the output never depends on the cache.

Chains are linked by goto only, so a packet that no rule decides ends where the linear layout would leave it. Each rule
that logs has one chain, because its rate limit counts all its packets together.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from engine.compiler.optimised.builder import DEFAULT_LIMITS, LayoutBuilder, LayoutLimits
from engine.compiler.optimised.port_tree import PortCell, PortCells, PortTreeNode, build_port_tree
from engine.compiler.optimised.set_merging import MergedSets
from engine.compiler.optimised.subtraction import SubtractedTerms
from engine.compiler.optimised.terms import ChainPlace, SequenceEdit, TargetLines, Term, diff_sequences, term_of
from engine.compiler.rule_parts import UnitWithSet, comment
from engine.compiler.traffic import Matches, port_match, protocol_match
from engine.policy.completed_rules import ANY_PORT, PortRange, Protocol
from engine.rulesets.model import Chain, IpSet, Match, Rule, Target
from engine.rulesets.ownership import comment_of, merged_comment

_PORTED = {Protocol.TCP.value: "t", Protocol.UDP.value: "u", Protocol.SCTP.value: "s"}
"""Protocol with ports -> prefix of the chain names of its tree."""

_HALVES: Sequence[PortRange] = ((0, 32767), (32768, 65535))
"""All ports as two ranges. iptables drops a match on all ports, which would then also match fragments without ports."""

_MIN_CACHED_TERMS = 32
"""Minimum number of terms for which the merged sets are cached."""


@dataclass(frozen=True, slots=True)
class OptimisedLayout:
    """Result of the layout: rules to append to the first chain, more chains, and all sets."""

    rules: tuple[Rule, ...]
    chains: tuple[Chain, ...]
    sets: tuple[IpSet, ...]


_Parts = dict[tuple[int, int, tuple[PortCell[Term], ...] | tuple[LayoutBuilder, ...]], LayoutBuilder]
"""Layouts of tree nodes, by port range and by the cells of the node or the layouts below it."""


@dataclass(slots=True)
class _Tree:
    """Cached port tree of a protocol: its cells, terms and layouts."""

    cells: PortCells[Term]
    terms: Sequence[Term] = ()
    parts: _Parts = field(default_factory=dict)
    leading: tuple[Rule, ...] = ()
    """Rules that lead into the tree."""
    laid: LayoutBuilder | None = None


class LayoutCache:
    """Cached results for one chain place; reused where no input has changed."""

    def __init__(self, place: ChainPlace) -> None:
        self.place = place
        self._given: Sequence[UnitWithSet] = ()
        self._terms: dict[UnitWithSet, Term] = {}
        self.entries = 0
        """Number of entries in all sets of the units."""
        self._behind: Target | None = None
        self._forget()

    def _forget(self) -> None:
        self.left = SubtractedTerms(self.place)
        self.merged: dict[str, MergedSets] = {}
        self.trees: dict[tuple[str, PortRange], _Tree] = {}

    def forget(self) -> None:
        """Clear the cache."""
        self._given, self._terms, self.entries = (), {}, 0
        self._forget()

    def terms(self, given: Sequence[UnitWithSet]) -> list[Term]:
        """Return the units as numbered terms, reusing the terms of known units.

        Cached results depend on the relative order of terms, so a reordering clears them.
        """
        changed, self._given = diff_sequences(self._given, given), given
        if not changed.in_order:
            self._forget()
        for each in changed.gone:
            del self._terms[each]
        self._terms.update((each, term_of(each)) for each in changed.new)
        self.entries += sum(len(each.addresses or ()) for each in changed.new)
        self.entries -= sum(len(each.addresses or ()) for each in changed.gone)
        terms = [self._terms[each] for each in given]
        for number, term in enumerate(terms):
            term.number = number
        return terms

    def going(self, behind: Target | None) -> None:
        """Clear the port trees if the final target changed."""
        if behind != self._behind:
            self._behind, self.trees = behind, {}


def build_layout(
    given: Sequence[UnitWithSet],
    place: ChainPlace,
    onwards: Target | None,
    bounds: LayoutLimits = DEFAULT_LIMITS,
    memory: LayoutCache | None = None,
) -> OptimisedLayout:
    """Return a layout with the same verdicts as the units one after another.

    Args:
        given: the units in evaluation order.
        place: family, chain name prefix and address side.
        onwards: the target for undecided packets; None is the end of all chains.
        bounds: limits on size and time.
        memory: the cache of the same place, updated in place; it does not affect the result.

    Raises:
        LayoutLimitExceeded: the layout exceeds the limits.
    """
    memory = memory or LayoutCache(place)
    try:
        return _build_layout(given, memory, onwards, bounds)
    except BaseException:
        memory.forget()  # the cache mixes results of the old and new units
        raise


def _build_layout(
    given: Sequence[UnitWithSet], memory: LayoutCache, onwards: Target | None, bounds: LayoutLimits
) -> OptimisedLayout:
    terms = memory.terms(given)
    limit = bounds.more + bounds.times * (len(terms) + memory.entries)
    laid = LayoutBuilder(memory.place, limit, bounds)
    broad = [term for term in terms if not term.protocol]
    final = next((term.number for term in broad if term.final), len(terms))  # later terms are dead
    narrow = memory.left.change(broad, [term for term in terms[:final] if term.protocol], limit, bounds.late)
    last = _with_final_goto(_decision_rules("rest", _reachable_terms(broad), laid, memory), broad, onwards)
    behind = laid.chain(f"{memory.place.base}-rest", last) if narrow and broad else onwards
    memory.going(behind)
    begin = list(_by_protocol(narrow, laid, memory, behind))
    begin += last if behind is onwards else [_goto_rule(behind)] if behind is not None else []
    if laid.size + memory.entries + memory.left.size > limit:  # an upper bound of the exact size
        laid.check_limits()
    memory.merged = laid.merged
    return OptimisedLayout(tuple(begin), tuple(laid.chains.values()), tuple(laid.sets.values()))


def _goto_rule(target: Target) -> Rule:
    return Rule((comment(comment_of()),), target)


def _by_protocol(
    terms: Sequence[Term], laid: LayoutBuilder, memory: LayoutCache, behind: Target | None
) -> Iterator[Rule]:
    """Yield rules that lead packets to the decisions for their protocol."""
    by_protocol: dict[str, list[Term]] = {}
    for term in terms:
        by_protocol.setdefault(term.protocol, []).append(term)
    # Protocols with ports first: most packets of new connections are TCP.
    for protocol, ours in sorted(by_protocol.items(), key=lambda item: (item[0] not in _PORTED, item[0])):
        if protocol in _PORTED:
            yield from _Ports(protocol, laid, memory, behind).ways(ours)
        portless = ours if protocol not in _PORTED else [term for term in ours if term.ports is None]
        if portless:
            name = _PORTED.get(protocol, protocol)
            decisions = _with_final_goto(
                _decision_rules(name, _reachable_terms(portless), laid, memory), portless, behind
            )
            target = laid.chain(f"{laid.place.base}-{name}", decisions)
            yield Rule((*protocol_match(Protocol(protocol)), comment(comment_of())), target)


@dataclass(frozen=True, slots=True)
class _Ports:
    """Lays out the decisions for one protocol with ports, by port."""

    protocol: str
    laid: LayoutBuilder
    memory: LayoutCache
    behind: Target | None

    def ways(self, terms: Sequence[Term]) -> Iterator[Rule]:
        """Yield rules that lead packets to the chains for their ports."""
        for half in _HALVES:
            tree_ = self.memory.trees.setdefault((self.protocol, half), _Tree(PortCells(half)))
            changed = diff_sequences(tree_.terms, terms)
            if changed.gone or changed.new or tree_.laid is None:
                tree_.terms = terms
                instead = _replacements(changed)
                tree_.cells.swap(instead)
                swapped = {*instead.values()}
                new = {term: term.ports or (ANY_PORT,) for term in changed.new if term not in swapped}
                tree_.cells.change([term for term in changed.gone if term not in instead], new)
                self._lay_out(tree_, half)
            if tree_.laid is not None:
                self.laid.take(tree_.laid)
            yield from tree_.leading

    def _lay_out(self, made: _Tree, half: PortRange) -> None:
        """Lay out a tree and the rules that lead to it."""
        found = [cell for cell in made.cells if cell.deciding]
        made.leading, made.laid, before = (), None, made.parts
        made.parts = {}
        if any(term.ports is not None for cell in found for term in cell.deciding):
            root = build_port_tree(found, half)
            made.laid = self._node(root, before, made.parts)
            made.leading = (self._way(root),)

    def _node(self, node: PortTreeNode[Term], before: _Parts, now: _Parts) -> LayoutBuilder:
        """Return the layout of a tree node, reused from ``before`` if unchanged."""
        below = tuple(self._node(each, before, now) for each in node.nodes)
        key = (node.first, node.last, below or node.cells)
        part = before.get(key)
        if part is None:
            part = LayoutBuilder(self.laid.place, self.laid.limit, self.laid.bounds)
            for each in below:
                part.take(each)
            if node.nodes:
                *others, last = node.nodes
                rules = [*map(self._way, others), _goto_rule(self._to(last))]  # ports without cells go there too
            else:
                rules = [rule for cell in node.cells for rule in self._cell(cell, node, part)]
                rules += [_goto_rule(self.behind)] if self.behind is not None else []
            part.chain(self._called(node), rules)
        now[key] = part
        return part

    def _way(self, node: PortTreeNode[Term]) -> Rule:
        return Rule((*self._about((node.first, node.last)), comment(comment_of())), self._to(node))

    def _to(self, node: PortTreeNode[Term]) -> Target:
        return Target(self._called(node), goto=True)

    def _cell(self, cell: PortCell[Term], node: PortTreeNode[Term], part: LayoutBuilder) -> Iterator[Rule]:
        """Yield the rules for one cell within a node: the decision itself, or a goto to its chain."""
        ours, about = (
            _reachable_terms(cell.deciding),
            self._about((max(cell.first, node.first), min(cell.last, node.last))),
        )
        if len(ours) == 1 and ours[0].plain:
            for rule in _single_term_rules(ours[0], part):
                own = [each for each in rule.matches if (each.module, each.option) != ("", "protocol")]
                yield Rule((*about, *own), rule.target)
            return
        name = self._called(cell)
        target = part.chain(name, _with_final_goto(_decision_rules(name, ours, part, self.memory), ours, self.behind))
        yield Rule((*about, comment(comment_of())), target)

    def _called(self, where: PortTreeNode[Term] | PortCell[Term]) -> str:
        """Return the chain name of a node or cell; a cell's name does not depend on its last port."""
        size = (where.last - where.first + 1).bit_length() - 1 if isinstance(where, PortTreeNode) else ""
        return f"{self.laid.place.base}-{_PORTED[self.protocol]}{size}-{where.first}"

    def _about(self, ports: PortRange) -> Matches:
        protocol = Protocol(self.protocol)
        return (*protocol_match(protocol), port_match(protocol, "dport", ports))


def _replacements(changed: SequenceEdit[Term]) -> dict[Term, Term]:
    """Return old term -> new term for terms that differ only in the remaining addresses."""
    new = {id(term.unit): term for term in changed.new}
    return {term: new[id(term.unit)] for term in changed.gone if id(term.unit) in new}


def _with_final_goto(rules: Iterable[Rule], terms: Sequence[Term], behind: Target | None) -> list[Rule]:
    """Return the rules of a chain, with a goto to ``behind`` at its end if packets can reach the end."""
    return [*rules, *([_goto_rule(behind)] if behind is not None and not any(term.final for term in terms) else ())]


def _reachable_terms(terms: Sequence[Term]) -> list[Term]:
    """Return the terms that packets can reach: no term after one that decides the same addresses or all."""
    found: dict[int, Term] = {}
    for term in terms:
        if id(term.addresses) not in found:
            found[id(term.addresses if term.plain else term)] = term
        if term.addresses is None and term.final:
            break
    return [*found.values()]


def _decision_rules(place: str, terms: Sequence[Term], laid: LayoutBuilder, memory: LayoutCache) -> Iterator[Rule]:
    """Yield the rules for some terms in their order; they match addresses and little else."""
    group: list[Term] = []
    for term in terms:
        if term.plain and not term.final:
            group.append(term)
        else:
            yield from _merged_rules(f"{place} {term.named}", group, laid, memory)
            yield from _single_term_rules(term, laid)
            group = []
    yield from _merged_rules(place, group, laid, memory)


def _merged_rules(place: str, terms: Sequence[Term], laid: LayoutBuilder, memory: LayoutCache) -> Iterator[Rule]:
    """Yield one rule per distinct decision of many terms, with lookups in disjoint sets."""
    told: dict[str, list[Term]] = {}
    for term in terms:
        told.setdefault(term.mark, []).append(term)
    if len(terms) <= max(len(told), laid.bounds.few):
        for term in terms:
            yield from _single_term_rules(term, laid)
        return
    merged = memory.merged.get(place) or MergedSets(laid.place, place)
    sets = merged.change(terms)
    if len(terms) >= _MIN_CACHED_TERMS:
        laid.merged[place] = merged
    for mark, alike in told.items():
        if mark in sets:
            laid.grow(len(sets[mark].members))
            yield from _rules(alike[0].lines, (), laid.look_up(sets[mark]), _shared_comment(alike))


def _shared_comment(terms: Sequence[Term]) -> Match:
    """Return the comment for all terms that share a decision."""
    told = list(dict.fromkeys(term.unit.told for term in terms))
    return told[0] if len(told) == 1 else comment(merged_comment([each.values[0] for each in told]))


def _single_term_rules(term: Term, laid: LayoutBuilder) -> Iterator[Rule]:
    """Yield the rules of a single term with its own set."""
    look_up = laid.look_up(term.found) if term.found is not None else ()
    unit = term.unit
    if unit.log is None:
        yield from _rules(term.lines, term.also, look_up, unit.told)
        return
    limit, target = unit.log
    name = f"{laid.place.base}-log-{term.named}"
    if name not in laid.chains:
        laid.chain(name, [Rule((*limit, unit.told), target), *_rules(term.lines, (), (), unit.told)])
    needed = protocol_match(Protocol(term.protocol)) if term.also else ()
    yield _rule((*needed, *term.also, *look_up, unit.told), Target(name, goto=True))


def _rules(lines: TargetLines, also: Matches, look_up: Matches, told: Match) -> Iterator[Rule]:
    return (_rule((*extra, *also, *look_up, told), target) for extra, target in lines)


def _rule(matches: Matches, target: Target) -> Rule:
    """Return a rule with the address match before the protocol match, as iptables prints them."""
    return Rule(tuple(sorted(matches, key=lambda each: each.option != "destination")), target)
