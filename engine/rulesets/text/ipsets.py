"""Parses ipset-save text to `IpSet` values and renders them.

Input: text of ``ipset save``. Output: sets in the order of the text, members sorted unless their order matters. Errors:
`TextRefused` with the line number; ``ValueError`` for a name or comment that ipset cannot express. Source: ipset(8).
"""

from collections.abc import Sequence
from dataclasses import replace

from engine.errors import TextRefused, safe_text
from engine.rulesets.model import Family, IpSet, Member
from engine.rulesets.text.quoting import plain_name, quote_unescaped, split

_HINTS = frozenset({"hashsize", "bucketsize", "initval"})
_FLAGS = frozenset({"counters", "comment", "skbinfo", "forceadd", "nomatch"})
_EXIST = frozenset({"-exist", "-!", "--exist"})
_FAMILIES = {"inet": Family.IPV4, "inet6": Family.IPV6}
_FAMILY_WORDS = {family: word for word, family in _FAMILIES.items()}


def parse_sets(text: str, source: str = "ipset save") -> tuple[IpSet, ...]:
    """Parse the sets that the text creates, in its order; members are ordered as in `IpSet`.

    Raises:
        TextRefused: a line does not parse.
    """
    sets: dict[str, IpSet] = {}
    members: dict[str, list[Member]] = {}
    for number, raw in enumerate(text.removesuffix("\n").split("\n"), 1):
        match _words(raw, source, number):
            case []:
                continue
            case [first, *_] if first.startswith("#"):
                continue
            case ["create", name, kind, *options]:
                sets[name] = _created(name, kind, options)
                members[name] = []
            case ["add", name, *member] if name in sets and member:
                members[name].append(tuple(member))
            case _:
                expected = "'create NAME TYPE …', or 'add NAME MEMBER …' after it"
                raise TextRefused(source, number, f"found {safe_text(raw)}", expected)
    return tuple(replace(item, members=_ordered(item, members[item.name])) for item in sets.values())


def _words(line: str, source: str, number: int) -> list[str]:
    if '"' not in line and line.isprintable() and _EXIST.isdisjoint(words := line.split()):
        return words  # as most lines are, of which there are many
    return _without_exist([word.text for word in split(line, source, number, escapes=False)])


def _without_exist(words: Sequence[str]) -> list[str]:
    """Return the words without ``-exist``, which tells ipset to accept existing sets and is not part of the set."""
    before = ("", *words)
    return [word for last, word in zip(before, words, strict=False) if word not in _EXIST or last == "comment"]


def _ordered(item: IpSet, members: Sequence[Member]) -> tuple[Member, ...]:
    """Return the members sorted, except where the kernel evaluates them in the order given."""
    if item.is_list:
        return tuple(members)
    if item.type == "hash:net,iface":
        return tuple(sorted(members, key=lambda member: member[0].partition(",")[0]))
    return tuple(sorted(members))


def _created(name: str, kind: str, words: Sequence[str]) -> IpSet:
    family: Family | None = None
    options: list[tuple[str, str]] = []
    hints: list[tuple[str, str]] = []
    rest = iter(words)
    for word in rest:
        value = "" if word in _FLAGS else next(rest, "")
        if word == "family":
            family = _FAMILIES.get(value)
        else:
            (hints if word in _HINTS else options).append((word, value))
    return IpSet(name, kind, family, (), tuple(options), tuple(hints))


def render_sets(sets: Sequence[IpSet]) -> str:
    """Return the sets as ipset save prints them and ipset restore reads them; list:set comes after its members."""
    lines: list[str] = []
    for item in sorted(sets, key=lambda each: each.is_list):
        lines.append(render_create(item))
        lines += (f"add {plain_name(item.name)} {render_member(member)}" for member in item.members)
    return "".join(f"{line}\n" for line in lines)


def render_create(item: IpSet) -> str:
    """Return the line that creates a set, without its members."""
    words = ["create", plain_name(item.name), plain_name(item.type)]
    if item.family is not None:
        words += ["family", _FAMILY_WORDS[item.family]]
    for name, value in (*item.hints, *item.options):
        words += [plain_name(name), *([plain_name(value)] if value else [])]
    return " ".join(words)


def render_member(member: Member) -> str:
    """Return a member as the words of an ``add`` or ``del`` line."""
    words = zip(("", *member), member, strict=False)
    return " ".join(quote_unescaped(word) if before == "comment" else plain_name(word) for before, word in words)
