"""Canonical form of a rule: options in one spelling, without defaults, and in one order where the order has no effect.

Input and output: a `Rule`. Options that every rule has, such as ``-s`` and ``-p``, come first, because the kernel
checks them first. Matches are sorted where none has a side effect. A match that counts, remembers, or drops truncated
packets (``hotdrop``) keeps its position, and so does a match that nodewall does not know.

Sources: ``ipt_do_table`` of the kernel; ``save_rule4`` of iptables 1.8.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from engine.rulesets.canonical.numbers import portable_protocol
from engine.rulesets.canonical.values import DEFAULT_REJECTION, DEFAULTS, REWRITES, TARGET_REWRITES, Rewrite
from engine.rulesets.model import Family, Match, Rule, Target

_RANKS: Mapping[str, int] = {
    name: rank
    for rank, name in enumerate(("source", "destination", "in-interface", "out-interface", "protocol", "fragment"))
}
"""Options that every rule has, in the order in which iptables prints them."""

_COMMUTING = frozenset(
    "addrtype conntrack connmark devgroup dscp hl iprange length mac mark owner physdev pkttype state ttl".split()
)
"""Matches that only answer, whatever the packet."""

_ORDERS: Mapping[str, tuple[str, ...]] = {
    name: tuple(options.split())
    for name, options in {
        "tcp": "sport dport tcp-option tcp-flags",
        "udp": "sport dport",
        "sctp": "sport dport",
        "dccp": "sport dport",
        "limit": "limit limit-burst",
        "addrtype": "src-type dst-type limit-iface-in limit-iface-out",
        "iprange": "src-range dst-range",
        "conntrack": "ctstate ctproto ctorigsrc ctorigdst ctreplsrc ctrepldst ctorigsrcport ctorigdstport"
        " ctreplsrcport ctrepldstport ctstatus ctexpire ctdir",
        "LOG": "log-prefix log-level log-tcp-sequence log-tcp-options log-ip-options log-uid log-macdecode",
        "NFLOG": "nflog-prefix nflog-group nflog-range nflog-size nflog-threshold",
    }.items()
}
"""The options of matches and targets that commute, in the order in which iptables prints them."""

Group = tuple[Match, ...]
"""The options of one ``-m``, without the bare match that may begin it; none of a match without options."""


def canonical_rules(rules: Sequence[Rule], family: Family) -> tuple[Rule, ...]:
    """Return the canonical forms of rules of one family."""
    return tuple([canonical_rule(rule, family) for rule in rules])


def canonical_rule(rule: Rule, family: Family) -> Rule:
    """Return the canonical form of a rule, the rule itself where it is canonical."""
    matches = _matches(rule.matches, family)
    target = rule.target and _target(rule.target, family)
    if matches == rule.matches and target == rule.target:
        return rule
    return replace(rule, matches=matches, target=target)


def portable_rule(rule: Rule) -> Rule:
    """Return a rule as every release of iptables takes it, with or without files of names."""
    matches = tuple(_portable(match) if match.option == "protocol" else match for match in rule.matches)
    return rule if matches == rule.matches else replace(rule, matches=matches)


def _portable(match: Match) -> Match:
    return replace(match, values=tuple(map(portable_protocol, match.values)))


def _matches(matches: Group, family: Family) -> Group:
    if _is_arranged(matches) and all(rewritten(match, family) is match for match in matches):
        return matches  # as all that nodewall compiles
    natives = [new for match in matches if not match.module and (new := rewritten(match, family)) is not None]
    natives.sort(key=lambda match: _RANKS.get(match.option, len(_RANKS)))
    groups = [_group(group, family) for group in _groups(match for match in matches if match.module)]
    return (*natives, *_joined(_arranged(groups)))


def _is_arranged(matches: Group) -> bool:
    """Return whether the order is canonical for sure: one option of each module, and at most one that commutes."""
    last, commuting, modules = 0, 0, set[str]()
    for match in matches:
        module = match.module
        place = _PLACES.get(module, len(_RANKS) + 1) if module else _RANKS.get(match.option, len(_RANKS))
        if place < last or module in modules or (module and not match.option) or module in DEFAULTS:
            return False
        last = place
        commuting += module in _COMMUTING
        if module:
            modules.add(module)
    return commuting < 2


_PLACES = {"comment": len(_RANKS) + 2}
"""Where matches come that are not between the options that every rule has and the comment."""


def rewritten(match: Match, family: Family, rewrites: Mapping[tuple[str, str], Rewrite] = REWRITES) -> Match | None:
    """Return an option in its canonical spelling, None where it is a default; as it is where it is not understood."""
    rewrite = rewrites.get((match.module, match.option))
    if rewrite is None:
        return match
    try:
        return rewrite(match, family)
    except ValueError:
        return match


def _groups(matches: Iterable[Match]) -> Iterator[tuple[str, Group]]:
    """Yield the options of each ``-m`` with its module: a bare match, or another module, begins the next."""
    module, found = "", list[Match]()
    for match in matches:
        if match.module != module or not match.option:
            if module:
                yield module, tuple(found)
            module, found = match.module, []
        if match.option:
            found.append(match)
    if module:
        yield module, tuple(found)


def _group(group: tuple[str, Group], family: Family) -> tuple[str, Group]:
    module, options = group
    found = [new for option in options if (new := rewritten(option, family)) is not None]
    default = DEFAULTS.get(module)
    if default is not None and all(option.option != default.option for option in found):
        found.append(default)
    module = found[0].module if found else module
    return module, _in_order(module, found)


def _in_order(name: str, options: Sequence[Match]) -> Group:
    """Return options of a match or target in the order in which iptables prints them, where that is known."""
    order = _ORDERS.get(name, ())
    if any(option.option not in order for option in options):
        return tuple(options)
    return tuple(sorted(options, key=lambda option: order.index(option.option)))


def _arranged(groups: Sequence[tuple[str, Group]]) -> Iterator[tuple[str, Group]]:
    """Yield matches that commute sorted between those that do not, comments last."""
    told = [group for group in groups if group[0] == "comment"]
    others = (group for group in groups if group[0] != "comment")
    for commuting, grouped in groupby(others, lambda group: group[0] in _COMMUTING):
        run = tuple(grouped)
        yield from sorted(run) if commuting else run
    yield from told


def _joined(groups: Iterable[tuple[str, Group]]) -> Iterator[Match]:
    """Yield the options of all matches; a bare match stands before what would else join the match before it."""
    before = ""
    for module, options in groups:
        if module == before or not options:
            yield Match(module, "")
        yield from options
        before = module


def _target(target: Target, family: Family) -> Target:
    if target.name not in _ORDERS and target.name != "REJECT":
        return target
    marked = (replace(option, module=target.name) for option in target.options)
    found = (rewritten(option, family, TARGET_REWRITES) for option in marked)
    options = [replace(option, module="") for option in found if option is not None]
    if target.name == "REJECT" and not options:
        options = [Match("", "reject-with", (DEFAULT_REJECTION[family],))]
    return replace(target, options=_in_order(target.name, options))
