"""The optimised layout: rules of policies laid out so that a packet comes by few of them, however many there are.

Three things are found out beforehand instead of for each packet. Which rules are about its port, by a tree of chains
(:mod:`engine.compiler.portcells`). Which of several rules is the first for its address, by sets that do not overlap
(:mod:`engine.compiler.firstmatch`). And what rules about every protocol leave for those about one that come behind
them, so that all of the former can stand behind all of the latter.

Every way through the chains is a goto, so at its end a packet is where the linear layout leaves it. Rules that log keep
one chain each, as their limits count all their packets together.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from engine.compiler.firstmatch import Entries, Named, resolved
from engine.compiler.parts import Given, Unit, address_set, comment, everything
from engine.compiler.portcells import Cell, Node, cells, tree
from engine.compiler.traffic import Matches, port_match, protocol_match
from engine.names import comment_of, digest, merged_comment
from engine.rules import ANY_PORT, PortRange, Protocol
from engine.ruleset import Chain, Family, IpSet, Match, Rule, Target

_PORTED = {Protocol.TCP.value: "t", Protocol.UDP.value: "u", Protocol.SCTP.value: "s"}
"""Protocol with ports -> how chains of its tree are called."""

_HALVES: Sequence[PortRange] = ((0, 32767), (32768, 65535))
"""All ports in two parts, as a match on all of them would be none, and hold for fragments without ports too."""


class NotFlat(Exception):
    """The rules cannot be laid out so within bounds, for a reason in words."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large the outcome may be: so many times the members and rules of the linear layout, and some more."""

    times: int = 8
    more: int = 50_000


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Place:
    """Whose chains are laid out: their family, how their names begin, and on which side of packets addresses are."""

    family: Family
    base: str
    side: str


@dataclass(frozen=True, slots=True)
class Flat:
    """What is laid out: rules for the end of the chain that begins, more chains, and all sets."""

    rules: tuple[Rule, ...]
    chains: tuple[Chain, ...]
    sets: tuple[IpSet, ...]


@dataclass(frozen=True, slots=True)
class _Term:
    """A unit in its place among all others, with the addresses that reach it; None is every address."""

    number: int
    unit: Unit
    protocol: str
    ports: tuple[PortRange, ...] | None
    """The ports that it is about, None where it is about the protocol whatever its ports."""
    also: Matches
    """What of the traffic is matched besides protocol and ports."""
    addresses: Entries | None
    found: IpSet | None
    """The set that has just these addresses, if there is one."""

    @property
    def plain(self) -> bool:
        """Whether nothing but the address is left to match once the port is known."""
        return not self.also and self.unit.log is None

    @property
    def lines(self) -> tuple[tuple[Matches, Target], ...]:
        """What decides, with what a target needs to have matched; terms that decide alike have the same."""
        needed = protocol_match(Protocol(self.protocol)) if self.protocol and self._particular else ()
        return tuple((extra or needed, target) for extra, target in self.unit.lines)

    @property
    def _particular(self) -> bool:
        """Whether the kernel has to see in a rule which protocol it is about."""
        return bool(self.also) or any(target.name == "REJECT" for _, target in self.unit.lines)

    @property
    def final(self) -> bool:
        """Whether nothing gets past it."""
        return self.addresses is None and not self.also and any(not extra for extra, _ in self.unit.lines)


@dataclass(slots=True)
class _Laid:
    """What is laid out so far."""

    place: Place
    bounds: int
    chains: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    sets: dict[str, IpSet] = field(default_factory=dict)
    size: int = 0

    def chain(self, name: str, rules: Iterable[Rule]) -> Target:
        """Have a chain, and return the target that leads there."""
        self.chains[name] = tuple(rules)
        self._grown(len(self.chains[name]))
        return Target(name, goto=True)

    def look_up(self, made: IpSet) -> Matches:
        """Have a set, and return the match on it."""
        if made.name not in self.sets:
            self.sets[made.name] = made
            self._grown(len(made.members))
        return (Match("set", "match-set", (made.name, self.place.side)),)

    def _grown(self, by: int) -> None:
        self.size += by
        if self.size > self.bounds:
            raise NotFlat(f"it would take more than {self.bounds:,} rules and members")


def flattened(given: Sequence[Given], place: Place, onwards: Target | None, bounds: Bounds = DEFAULT_BOUNDS) -> Flat:
    """Return what does the same as the units one after the other.

    ``onwards`` is where packets go that nothing decides on, None past the end of all chains.

    Raises:
        NotFlat: it would grow beyond bounds.
    """
    terms = _terms(given)
    limit = bounds.more + bounds.times * (len(terms) + sum(len(term.addresses or ()) for term in terms))
    laid = _Laid(place, limit)
    broad = [term for term in terms if not term.protocol]
    narrow = _left_over(terms, broad, place.family, limit)
    last = _ending(_decisions("rest", broad, laid), broad, onwards)
    behind = laid.chain(f"{place.base}-rest", last) if narrow and broad else onwards
    begin = list(_by_protocol(narrow, laid, behind))
    begin += last if behind is onwards else [_going(behind)] if behind is not None else []
    chains = (Chain(name, rules) for name, rules in laid.chains.items())
    return Flat(tuple(begin), tuple(chains), tuple(laid.sets.values()))


def _going(target: Target) -> Rule:
    return Rule((comment(comment_of()),), target)


def _terms(given: Sequence[Given]) -> list[_Term]:
    found = []
    for number, each in enumerate(given):
        protocol, ports, also = "", None, list[Match]()
        for match in each.unit.traffic:
            if (match.module, match.option) == ("", "protocol"):
                protocol = match.values[0]
            elif match.option in {"dport", "dports"}:
                ports = tuple(map(_range, match.values[0].split(",")))
            else:
                also.append(match)
        found.append(_Term(number, each.unit, protocol, ports, tuple(also), each.addresses, each.found))
    return found


def _range(text: str) -> PortRange:
    first, _, last = text.partition(":")
    return int(first), int(last or first)


def _left_over(terms: Sequence[_Term], broad: Sequence[_Term], family: Family, limit: int) -> list[_Term]:
    """Return the terms about one protocol, each with the addresses that those before it about all of them leave."""
    found, size = list[_Term](), 0
    last = next((term.number for term in broad if term.final), len(terms))
    named = Named([(term.number, term.addresses or ()) for term in broad])
    numbers = [term.number for term in broad]
    everybody: dict[int, Entries] = {}  # by how many stand before: what these leave of all addresses
    for term in terms:
        if not term.protocol or term.number > last:
            continue  # nothing reaches what stands behind one that nothing gets past
        place = bisect_left(numbers, term.number)
        mine = everything(family) if term.addresses is None else term.addresses
        if term.addresses is None and place in everybody:
            left = everybody[place]
        else:
            before = named.about(mine, term.number)
            left = resolved([*((entries, 0) for entries in before), (mine, 1)]).sets.get(1, ()) if before else mine
            size += len(left) if left != mine else 0
            if term.addresses is None:
                everybody[place] = left
        if left == mine:
            found.append(term)
        elif left:
            found.append(replace(term, addresses=left, found=None))
        if size > limit:
            raise NotFlat("rules about every protocol stand between too many others")
    return found


def _by_protocol(terms: Sequence[_Term], laid: _Laid, behind: Target | None) -> Iterator[Rule]:
    """Yield rules that lead packets to the decisions about their protocol."""
    for protocol in sorted({term.protocol for term in terms}):
        ours = [term for term in terms if term.protocol == protocol]
        if protocol in _PORTED:
            yield from _Ports(protocol, ours, laid, behind).ways()
            ours = [term for term in ours if term.ports is None]
        if ours:
            name = _PORTED.get(protocol, protocol)
            target = laid.chain(f"{laid.place.base}-{name}", _ending(_decisions(name, ours, laid), ours, behind))
            yield Rule((*protocol_match(Protocol(protocol)), comment(comment_of())), target)


@dataclass(frozen=True, slots=True)
class _Ports:
    """The decisions about one protocol with ports, laid out by port."""

    protocol: str
    terms: Sequence[_Term]
    laid: _Laid
    behind: Target | None

    def ways(self) -> Iterator[Rule]:
        """Yield rules that lead packets to the chains about their ports."""
        ranges = [term.ports or (ANY_PORT,) for term in self.terms]
        for half in _HALVES:
            found = [cell for cell in cells(ranges, half) if cell.numbers]
            if any(self.terms[number].ports is not None for cell in found for number in cell.numbers):
                yield Rule((*self._about(half), comment(comment_of())), self._laid_out(tree(found)))

    def _laid_out(self, node: Node) -> Target:
        """Have the chains of a part of the tree, and return where it begins."""
        rules = [rule for cell in node.cells for rule in self._cell(cell)]
        for way, following in pairwise(node.nodes):
            about = self._about((way.first, following.first - 1))
            rules.append(Rule((*about, comment(comment_of())), self._laid_out(way)))
        last = self._laid_out(node.nodes[-1]) if node.nodes else self.behind
        rules += [_going(last)] if last is not None else []
        return self.laid.chain(self._called(node), rules)

    def _cell(self, cell: Cell) -> Iterator[Rule]:
        """Yield the rules about a cell: what decides there, or where that is found."""
        ours, about = [self.terms[number] for number in cell.numbers], self._about((cell.first, cell.last))
        if len(ours) == 1 and ours[0].plain:
            for rule in _alone(ours[0], self.laid):
                own = [each for each in rule.matches if (each.module, each.option) != ("", "protocol")]
                yield Rule((*about, *own), rule.target)
            return
        name = self._called(cell)
        target = self.laid.chain(name, _ending(_decisions(name, ours, self.laid), ours, self.behind))
        yield Rule((*about, comment(comment_of())), target)

    def _called(self, where: Node | Cell) -> str:
        """Return the name of a chain, which stays when another chain takes the last of its ports."""
        level = where.level if isinstance(where, Node) else ""
        return f"{self.laid.place.base}-{_PORTED[self.protocol]}{level}-{where.first}"

    def _about(self, ports: PortRange) -> Matches:
        protocol = Protocol(self.protocol)
        return (*protocol_match(protocol), port_match(protocol, "dport", ports))


def _ending(rules: Iterable[Rule], terms: Sequence[_Term], behind: Target | None) -> list[Rule]:
    """Return the rules of a chain with the way onwards at its end, where anything comes there."""
    return [*rules, *([_going(behind)] if behind is not None and not any(term.final for term in terms) else ())]


def _decisions(place: str, terms: Sequence[_Term], laid: _Laid) -> Iterator[Rule]:
    """Yield the rules by which terms decide in their order, by address and little else."""
    group: list[_Term] = []
    for number, term in enumerate(terms):
        if term.plain:
            group.append(term)
        else:
            yield from _merged(f"{place} {number}", group, laid)
            yield from _alone(term, laid)
            group = []
        if term.final:
            break
    yield from _merged(place, group, laid)


def _merged(place: str, terms: Sequence[_Term], laid: _Laid) -> Iterator[Rule]:
    """Yield a rule for each different decision of many terms, which look into sets that do not overlap."""
    different = {term.lines for term in terms}
    if len(terms) <= len(different):
        for term in terms:
            yield from _alone(term, laid)
        return
    first = resolved([(term.addresses, term.lines) for term in terms])
    for lines, found in first.sets.items():
        name = digest(laid.place.base, place, repr(lines))
        look_up = laid.look_up(address_set(laid.place.family, name, found))
        yield from _rules(lines, (), look_up, _told(terms, lines))
    if first.rest is not None:
        yield from _rules(first.rest, (), (), _told(terms, first.rest))


def _told(terms: Sequence[_Term], lines: tuple[tuple[Matches, Target], ...]) -> Match:
    """Return the comment of all that decide alike."""
    told = list(dict.fromkeys(term.unit.told for term in terms if term.lines == lines))
    return told[0] if len(told) == 1 else comment(merged_comment([each.values[0] for each in told]))


def _alone(term: _Term, laid: _Laid) -> Iterator[Rule]:
    """Yield the rules of one term, which it has for itself."""
    look_up: Matches = ()
    if term.addresses is not None:
        made = term.found or address_set(laid.place.family, digest("left", repr(term.addresses)), term.addresses)
        look_up = laid.look_up(made)
    unit = term.unit
    if unit.log is None:
        yield from _rules(term.lines, term.also, look_up, unit.told)
        return
    limit, target = unit.log
    name = f"{laid.place.base}-log-{digest(unit.told.values[0], repr(unit.traffic), digits=8)}"
    if name not in laid.chains:
        laid.chain(name, [Rule((*limit, unit.told), target), *_rules(term.lines, (), (), unit.told)])
    needed = protocol_match(Protocol(term.protocol)) if term.also else ()
    yield _rule((*needed, *term.also, *look_up, unit.told), Target(name, goto=True))


def _rules(lines: tuple[tuple[Matches, Target], ...], also: Matches, look_up: Matches, told: Match) -> Iterator[Rule]:
    return (_rule((*extra, *also, *look_up, told), target) for extra, target in lines)


def _rule(matches: Matches, target: Target) -> Rule:
    """Return a rule with an address in front of its protocol, as iptables prints them."""
    return Rule(tuple(sorted(matches, key=lambda each: each.option != "destination")), target)
