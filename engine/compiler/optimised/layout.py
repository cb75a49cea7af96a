"""The optimised layout: rules of policies laid out so that a packet comes by few of them, however many there are.

Three things are found out beforehand instead of for each packet. Which rules are about its port, by a tree of chains
(:mod:`engine.compiler.optimised.port_tree`). Which of several rules is the first for its address, by sets that do
not overlap (:mod:`engine.compiler.optimised.set_merging`). And what rules about every protocol leave for those about
one that come behind them (:mod:`engine.compiler.optimised.subtraction`), so that all of the former can stand behind
all of the latter.

What is worked out is remembered (:class:`LayoutCache`), so that a change of few rules works little out anew; what
comes of it is the same as from nothing.

Every way through the chains is a goto, so at its end a packet is where the linear layout leaves it. Rules that log keep
one chain each, as their limits count all their packets together.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from engine.compiler.optimised.builder import DEFAULT_BOUNDS, LayoutBuilder, LayoutLimits
from engine.compiler.optimised.port_tree import PortCell, PortCells, PortTreeNode, tree
from engine.compiler.optimised.set_merging import MergedSets
from engine.compiler.optimised.subtraction import SubtractedTerms
from engine.compiler.optimised.terms import ChainPlace, SequenceEdit, TargetLines, Term, edit, term_of
from engine.compiler.rule_parts import UnitWithSet, comment
from engine.compiler.traffic import Matches, port_match, protocol_match
from engine.policy.completed_rules import ANY_PORT, PortRange, Protocol
from engine.rulesets.model import Chain, IpSet, Match, Rule, Target
from engine.rulesets.ownership import comment_of, merged_comment

_PORTED = {Protocol.TCP.value: "t", Protocol.UDP.value: "u", Protocol.SCTP.value: "s"}
"""Protocol with ports -> how chains of its tree are called."""

_HALVES: Sequence[PortRange] = ((0, 32767), (32768, 65535))
"""All ports in two parts, as a match on all of them would be none, and hold for fragments without ports too."""

_MERGED = 32
"""From so many terms on, what was worked out of which is the first is kept for the next time."""


@dataclass(frozen=True, slots=True)
class OptimisedLayout:
    """What is laid out: rules for the end of the chain that begins, more chains, and all sets."""

    rules: tuple[Rule, ...]
    chains: tuple[Chain, ...]
    sets: tuple[IpSet, ...]


_Parts = dict[tuple[int, int, tuple[PortCell[Term], ...] | tuple[LayoutBuilder, ...]], LayoutBuilder]
"""What is laid out for nodes of a tree, by their ports and the cells there, or what is laid out for the nodes below."""


@dataclass(slots=True)
class _Tree:
    """What was worked out at last for the ports of a protocol: who decides on them, by cells, and what came of it."""

    cells: PortCells[Term]
    terms: Sequence[Term] = ()
    parts: _Parts = field(default_factory=dict)
    leading: tuple[Rule, ...] = ()
    """The rules that lead into it."""
    laid: LayoutBuilder | None = None


class LayoutCache:
    """What was worked out at last for a place, which is taken over where nothing that it depends on has changed."""

    def __init__(self, place: ChainPlace) -> None:
        self.place = place
        self._given: Sequence[UnitWithSet] = ()
        self._terms: dict[UnitWithSet, Term] = {}
        self.entries = 0
        """How many entries all sets have that the units were given with."""
        self._behind: Target | None = None
        self._forget()

    def _forget(self) -> None:
        self.left = SubtractedTerms(self.place)
        self.merged: dict[str, MergedSets] = {}
        self.trees: dict[tuple[str, PortRange], _Tree] = {}

    def forget(self) -> None:
        """Begin from nothing."""
        self._given, self._terms, self.entries = (), {}, 0
        self._forget()

    def terms(self, given: Sequence[UnitWithSet]) -> list[Term]:
        """Return the units as terms, those of before where they are the same.

        All that is kept relies on an order of theirs that stays, so it is forgotten where that is another.
        """
        changed, self._given = edit(self._given, given), given
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
        """Forget what leads elsewhere in the end."""
        if behind != self._behind:
            self._behind, self.trees = behind, {}


def flattened(
    given: Sequence[UnitWithSet],
    place: ChainPlace,
    onwards: Target | None,
    bounds: LayoutLimits = DEFAULT_BOUNDS,
    memory: LayoutCache | None = None,
) -> OptimisedLayout:
    """Return what does the same as the units one after the other.

    ``onwards`` is where packets go that nothing decides on, None past the end of all chains. ``memory`` is that of the
    same place; what is returned does not depend on it, but how soon.

    Raises:
        NotFlat: it would grow beyond bounds.
    """
    memory = memory or LayoutCache(place)
    try:
        return _flattened(given, memory, onwards, bounds)
    except BaseException:
        memory.forget()  # part of it is of these units, part of those before
        raise


def _flattened(
    given: Sequence[UnitWithSet], memory: LayoutCache, onwards: Target | None, bounds: LayoutLimits
) -> OptimisedLayout:
    terms = memory.terms(given)
    limit = bounds.more + bounds.times * (len(terms) + memory.entries)
    laid = LayoutBuilder(memory.place, limit, bounds)
    broad = [term for term in terms if not term.protocol]
    final = next((term.number for term in broad if term.final), len(terms))  # nothing reaches what stands behind it
    narrow = memory.left.change(broad, [term for term in terms[:final] if term.protocol], limit, bounds.late)
    last = _ending(_decisions("rest", _live(broad), laid, memory), broad, onwards)
    behind = laid.chain(f"{memory.place.base}-rest", last) if narrow and broad else onwards
    memory.going(behind)
    begin = list(_by_protocol(narrow, laid, memory, behind))
    begin += last if behind is onwards else [_going(behind)] if behind is not None else []
    if laid.size + memory.entries + memory.left.size > limit:  # which is no less than it is
        laid.see_to_bounds()
    memory.merged = laid.merged
    return OptimisedLayout(tuple(begin), tuple(laid.chains.values()), tuple(laid.sets.values()))


def _going(target: Target) -> Rule:
    return Rule((comment(comment_of()),), target)


def _by_protocol(
    terms: Sequence[Term], laid: LayoutBuilder, memory: LayoutCache, behind: Target | None
) -> Iterator[Rule]:
    """Yield rules that lead packets to the decisions about their protocol."""
    by_protocol: dict[str, list[Term]] = {}
    for term in terms:
        by_protocol.setdefault(term.protocol, []).append(term)
    # Those with ports first: most packets that nothing is known of yet are of TCP.
    for protocol, ours in sorted(by_protocol.items(), key=lambda item: (item[0] not in _PORTED, item[0])):
        if protocol in _PORTED:
            yield from _Ports(protocol, laid, memory, behind).ways(ours)
        portless = ours if protocol not in _PORTED else [term for term in ours if term.ports is None]
        if portless:
            name = _PORTED.get(protocol, protocol)
            decisions = _ending(_decisions(name, _live(portless), laid, memory), portless, behind)
            target = laid.chain(f"{laid.place.base}-{name}", decisions)
            yield Rule((*protocol_match(Protocol(protocol)), comment(comment_of())), target)


@dataclass(frozen=True, slots=True)
class _Ports:
    """The decisions about one protocol with ports, laid out by port."""

    protocol: str
    laid: LayoutBuilder
    memory: LayoutCache
    behind: Target | None

    def ways(self, terms: Sequence[Term]) -> Iterator[Rule]:
        """Yield rules that lead packets to the chains about their ports."""
        for half in _HALVES:
            tree_ = self.memory.trees.setdefault((self.protocol, half), _Tree(PortCells(half)))
            changed = edit(tree_.terms, terms)
            if changed.gone or changed.new or tree_.laid is None:
                tree_.terms = terms
                instead = _instead(changed)
                tree_.cells.swap(instead)
                swapped = {*instead.values()}
                new = {term: term.ports or (ANY_PORT,) for term in changed.new if term not in swapped}
                tree_.cells.change([term for term in changed.gone if term not in instead], new)
                self._lay_out(tree_, half)
            if tree_.laid is not None:
                self.laid.take(tree_.laid)
            yield from tree_.leading

    def _lay_out(self, made: _Tree, half: PortRange) -> None:
        """Have what is laid out for a tree, and the rules that lead there."""
        found = [cell for cell in made.cells if cell.deciding]
        made.leading, made.laid, before = (), None, made.parts
        made.parts = {}
        if any(term.ports is not None for cell in found for term in cell.deciding):
            root = tree(found, half)
            made.laid = self._node(root, before, made.parts)
            made.leading = (self._way(root),)

    def _node(self, node: PortTreeNode[Term], before: _Parts, now: _Parts) -> LayoutBuilder:
        """Return what is laid out for a part of the tree."""
        below = tuple(self._node(each, before, now) for each in node.nodes)
        key = (node.first, node.last, below or node.cells)
        part = before.get(key)
        if part is None:
            part = LayoutBuilder(self.laid.place, self.laid.limit, self.laid.bounds)
            for each in below:
                part.take(each)
            if node.nodes:
                *others, last = node.nodes
                rules = [*map(self._way, others), _going(self._to(last))]  # there, too, what is about none goes on
            else:
                rules = [rule for cell in node.cells for rule in self._cell(cell, node, part)]
                rules += [_going(self.behind)] if self.behind is not None else []
            part.chain(self._called(node), rules)
        now[key] = part
        return part

    def _way(self, node: PortTreeNode[Term]) -> Rule:
        return Rule((*self._about((node.first, node.last)), comment(comment_of())), self._to(node))

    def _to(self, node: PortTreeNode[Term]) -> Target:
        return Target(self._called(node), goto=True)

    def _cell(self, cell: PortCell[Term], node: PortTreeNode[Term], part: LayoutBuilder) -> Iterator[Rule]:
        """Yield the rules about the ports of a cell that a node has: what decides there, or where that is found."""
        ours, about = _live(cell.deciding), self._about((max(cell.first, node.first), min(cell.last, node.last)))
        if len(ours) == 1 and ours[0].plain:
            for rule in _alone(ours[0], part):
                own = [each for each in rule.matches if (each.module, each.option) != ("", "protocol")]
                yield Rule((*about, *own), rule.target)
            return
        name = self._called(cell)
        target = part.chain(name, _ending(_decisions(name, ours, part, self.memory), ours, self.behind))
        yield Rule((*about, comment(comment_of())), target)

    def _called(self, where: PortTreeNode[Term] | PortCell[Term]) -> str:
        """Return the name of a chain, which stays when another cell takes the last of its ports."""
        size = (where.last - where.first + 1).bit_length() - 1 if isinstance(where, PortTreeNode) else ""
        return f"{self.laid.place.base}-{_PORTED[self.protocol]}{size}-{where.first}"

    def _about(self, ports: PortRange) -> Matches:
        protocol = Protocol(self.protocol)
        return (*protocol_match(protocol), port_match(protocol, "dport", ports))


def _instead(changed: SequenceEdit[Term]) -> dict[Term, Term]:
    """Return which terms came in the place of others that are the same but for the addresses that are left for them."""
    new = {id(term.unit): term for term in changed.new}
    return {term: new[id(term.unit)] for term in changed.gone if id(term.unit) in new}


def _ending(rules: Iterable[Rule], terms: Sequence[Term], behind: Target | None) -> list[Rule]:
    """Return the rules of a chain with the way onwards at its end, where anything comes there."""
    return [*rules, *([_going(behind)] if behind is not None and not any(term.final for term in terms) else ())]


def _live(terms: Sequence[Term]) -> list[Term]:
    """Return the terms that anything reaches, of terms behind each other: none behind one that decides on the same."""
    found: dict[int, Term] = {}
    for term in terms:
        if id(term.addresses) not in found:
            found[id(term.addresses if term.plain else term)] = term
        if term.addresses is None and term.final:
            break
    return [*found.values()]


def _decisions(place: str, terms: Sequence[Term], laid: LayoutBuilder, memory: LayoutCache) -> Iterator[Rule]:
    """Yield the rules by which terms decide in their order, by address and little else."""
    group: list[Term] = []
    for term in terms:
        if term.plain and not term.final:
            group.append(term)
        else:
            yield from _merged(f"{place} {term.named}", group, laid, memory)
            yield from _alone(term, laid)
            group = []
    yield from _merged(place, group, laid, memory)


def _merged(place: str, terms: Sequence[Term], laid: LayoutBuilder, memory: LayoutCache) -> Iterator[Rule]:
    """Yield a rule for each different decision of many terms, which look into sets that do not overlap."""
    told: dict[str, list[Term]] = {}
    for term in terms:
        told.setdefault(term.mark, []).append(term)
    if len(terms) <= max(len(told), laid.bounds.few):
        for term in terms:
            yield from _alone(term, laid)
        return
    merged = memory.merged.get(place) or MergedSets(laid.place, place)
    sets = merged.change(terms)
    if len(terms) >= _MERGED:
        laid.merged[place] = merged
    for mark, alike in told.items():
        if mark in sets:
            laid.grow(len(sets[mark].members))
            yield from _rules(alike[0].lines, (), laid.look_up(sets[mark]), _told(alike))


def _told(terms: Sequence[Term]) -> Match:
    """Return the comment of all that decide alike."""
    told = list(dict.fromkeys(term.unit.told for term in terms))
    return told[0] if len(told) == 1 else comment(merged_comment([each.values[0] for each in told]))


def _alone(term: Term, laid: LayoutBuilder) -> Iterator[Rule]:
    """Yield the rules of one term, which it has for itself."""
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
    """Return a rule with an address in front of its protocol, as iptables prints them."""
    return Rule(tuple(sorted(matches, key=lambda each: each.option != "destination")), target)
