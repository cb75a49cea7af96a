"""iptables-save text to tables and back.

Source: iptables-save(8), iptables-restore(8), iptables-extensions(8). Read are also ``-I`` with a rule number and
tables without the declarations of built-in chains, so that what nodewall compiles can be read as it is.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from engine.errors import TextRefused, shown
from engine.restore.words import Word, plain_name, quote, quote_always, quote_text, split
from engine.ruleset import Chain, Counters, Match, Rule, Table, Target

_SHORT = {
    "-s": "source",
    "-d": "destination",
    "-i": "in-interface",
    "-o": "out-interface",
    "-p": "protocol",
    "-f": "fragment",
}
_SPELLING = {long: short for short, long in _SHORT.items()}
_ALIASES = {
    "--src": "source",
    "--dst": "destination",
    "--proto": "protocol",
    "--destination-port": "dport",
    "--source-port": "sport",
    "--destination-ports": "dports",
    "--source-ports": "sports",
}

_TEXTS = frozenset("comment log-prefix nflog-prefix helper".split())
"""Options whose value a user wrote, which iptables prints in quotes unless it is very plain."""

_ALWAYS_QUOTED = frozenset("string hex-string u32 bytecode".split())
"""Options whose value iptables prints in quotes whatever it is."""

_ONE_VALUE = _TEXTS | frozenset("source destination in-interface out-interface protocol".split())
"""Options whose one value may look like an option, so that it must be counted, not recognised."""

_JUMPS = frozenset({"-j", "-g", "--jump", "--goto"})

_BUILT_IN = frozenset("PREROUTING INPUT FORWARD OUTPUT POSTROUTING".split())
_COUNTERS = re.compile(r"\[(\d+):(\d+)\]")
_CHAIN = re.compile(r":(\S+) (\S+)(?: \[(\d+):(\d+)\])?")


@dataclass(slots=True)
class _Chain:
    """A chain while its text is being read."""

    policy: str | None = None
    counters: Counters | None = None
    rules: list[Rule] = field(default_factory=list)


def parse_tables(text: str, source: str = "iptables-save") -> tuple[Table, ...]:
    """Return the tables that the text holds, in its order.

    Raises:
        TextRefused: with the line that does not parse.
    """
    return tuple(_Reader(text, source).tables())


class _Reader:
    """Reads one text; knows the line it stands at, for its errors."""

    def __init__(self, text: str, source: str) -> None:
        self._lines = enumerate(text.removesuffix("\n").split("\n"), 1)
        self._source = source
        self._number = 0

    def tables(self) -> Iterator[Table]:
        for line in self._significant():
            if not line.startswith("*"):
                raise self._refused(line, "a table such as *filter")
            yield self._table(line[1:].strip())

    def _significant(self) -> Iterator[str]:
        for number, raw in self._lines:
            self._number = number
            line = raw.strip()
            if line and not line.startswith("#"):
                yield line

    def _refused(self, found: str, expected: str) -> TextRefused:
        return TextRefused(self._source, self._number, f"found {shown(found)}", expected)

    def _table(self, name: str) -> Table:
        chains: dict[str, _Chain] = {}
        for line in self._significant():
            if line == "COMMIT":
                return Table(name, tuple(_frozen(n, c) for n, c in chains.items()))
            if line.startswith(":"):
                self._declare(line, chains)
            else:
                self._rule_line(line, chains)
        raise TextRefused(self._source, self._number, f"table {name} ends without COMMIT", "COMMIT")

    def _declare(self, line: str, chains: dict[str, _Chain]) -> None:
        found = _CHAIN.fullmatch(line)
        if found is None:
            raise self._refused(line, "a chain such as ':INPUT ACCEPT [0:0]'")
        name, policy, packets, octets = found.groups()
        counters = (int(packets), int(octets)) if packets is not None else None
        chains[name] = _Chain(None if policy == "-" else policy, counters)

    def _rule_line(self, line: str, chains: dict[str, _Chain]) -> None:
        words = split(line, self._source, self._number)
        counters = None
        if words and (found := _COUNTERS.fullmatch(words[0].text)):
            counters = (int(found[1]), int(found[2]))
            words = words[1:]
        if len(words) < 2 or words[0].text not in {"-A", "-I"}:
            raise self._refused(line, "a rule (-A or -I), a chain (:NAME …) or COMMIT")
        name, rest = words[1].text, words[2:]
        chain = chains.setdefault(name, _Chain()) if name in _BUILT_IN else chains.get(name)
        if chain is None:
            raise self._refused(name, "a chain that was declared above")
        position = len(chain.rules)
        if words[0].text == "-I":
            position, rest = self._position(rest, position)
        chain.rules.insert(position, self._rule(rest, counters))

    def _position(self, words: list[Word], last: int) -> tuple[int, list[Word]]:
        if not words or not words[0].text.isdecimal():
            return 0, words
        number = int(words[0].text)
        if not 1 <= number <= last + 1:
            raise self._refused(words[0].text, f"a rule number from 1 to {last + 1}")
        return number - 1, words[1:]

    def _rule(self, words: Sequence[Word], counters: Counters | None) -> Rule:
        matches: list[Match] = []
        target: Target | None = None
        for module, negated, option, values in self._options(words):
            match = Match(module, option, values, negated)
            if option in _JUMPS:
                if len(values) != 1 or target is not None:
                    raise self._refused(" ".join(values), "one target")
                target = Target(values[0], goto=option in {"-g", "--goto"})
            elif target is None or module or option in _SPELLING:
                matches.append(match)  # iptables takes matches after the target too
            else:
                target = replace(target, options=(*target.options, match))
        return Rule(tuple(_tidied(matches)), target, counters)

    def _options(self, words: Sequence[Word]) -> Iterator[tuple[str, bool, str, tuple[str, ...]]]:
        """Yield (module, negated, option, values) for each option of a rule."""
        module, at = "", 0
        while at < len(words):
            negated = _is(words[at], "!")
            at += negated
            if at >= len(words) or not _is_option(words[at]):
                raise self._refused(words[at].text if at < len(words) else "the end", "an option such as --dport")
            option, at = words[at].text, at + 1
            if option in {"-m", "--match"}:
                if at >= len(words):
                    raise self._refused("-m", "the name of a match after it")
                module, at = words[at].text, at + 1
                yield module, False, "", ()
                continue
            name = _SHORT.get(option) or _ALIASES.get(option) or option.lstrip("-")
            if option not in _SHORT and option not in _JUMPS and not option.startswith("--"):
                raise self._refused(option, "an option such as --dport")
            after_not = at < len(words) and _is(words[at], "!") and name != "fragment" and _has_value(words, at + 1)
            # Old spelling: the inversion stands after the option.
            at += after_not
            values, at = self._values(words, at, name)
            if option in _JUMPS:
                module, name = "", option
            yield "" if name in _SPELLING else module, negated or after_not, name, values

    def _values(self, words: Sequence[Word], at: int, name: str) -> tuple[tuple[str, ...], int]:
        if name in _ONE_VALUE:
            if at >= len(words):
                raise self._refused(name, "a value after it")
            return (words[at].text,), at + 1
        end = at
        while end < len(words) and not _is_option(words[end]) and not _is(words[end], "!"):
            end += 1
        return tuple(word.text for word in words[at:end]), end


def _is(word: Word, text: str) -> bool:
    return not word.quoted and word.text == text


def _is_option(word: Word) -> bool:
    return not word.quoted and len(word.text) > 1 and word.text.startswith("-") and not word.text[1:2].isdigit()


def _has_value(words: Sequence[Word], at: int) -> bool:
    return at < len(words) and not _is_option(words[at])


def _tidied(matches: Sequence[Match]) -> Iterator[Match]:
    """Drop a bare ``-m name`` whose options follow: they name the module themselves.

    One that stands between options of its own module stays, because it begins another match of that kind.
    """
    module = ""
    for index, match in enumerate(matches):
        bare = not match.option
        followed = index + 1 < len(matches) and matches[index + 1].module == match.module
        if not (bare and followed and module != match.module):
            yield match
            module = match.module or module


def _frozen(name: str, chain: _Chain) -> Chain:
    return Chain(name, tuple(chain.rules), chain.policy, chain.counters)


def render_tables(tables: Sequence[Table], *, counters: bool = False) -> str:
    """Return the tables as iptables-save prints them, which iptables-restore reads."""
    return "".join(_render_table(table, counters=counters) for table in tables)


def _render_table(table: Table, *, counters: bool) -> str:
    lines = [f"*{plain_name(table.name)}"]
    for chain in table.chains:
        packets, octets = chain.counters or (0, 0)
        lines.append(f":{plain_name(chain.name)} {plain_name(chain.policy or '-')} [{packets}:{octets}]")
    for chain in table.chains:
        for rule in chain.rules:
            prefix = f"[{rule.counters[0]}:{rule.counters[1]}] " if counters and rule.counters else ""
            lines.append(f"{prefix}-A {chain.name}{render_rule(rule)}")
    return "\n".join([*lines, "COMMIT", ""])


def render_rule(rule: Rule) -> str:
    """Return the matches and the target of a rule as words, with a space in front where there are any."""
    words: list[str] = []
    module = ""
    for match in rule.matches:
        if match.module and (match.module != module or not match.option):
            words += ["-m", quote(match.module)]
        if match.module:
            module = match.module
        words += _render_match(match)
    if rule.target is not None:
        words += ["-g" if rule.target.goto else "-j", quote(rule.target.name)]
        for option in rule.target.options:
            words += _render_match(option)
    return "".join(f" {word}" for word in words)


def _render_match(match: Match) -> list[str]:
    if not match.option:
        return []
    long = f"--{plain_name(match.option)}"
    option = long if match.module else _SPELLING.get(match.option, long)
    return [*(["!"] if match.negated else []), option, *(_render_value(match.option, value) for value in match.values)]


def _render_value(option: str, value: str) -> str:
    if option in _TEXTS:
        return quote_text(value)
    return quote_always(value) if option in _ALWAYS_QUOTED else quote(value)
