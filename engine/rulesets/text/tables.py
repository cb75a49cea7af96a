"""Parses iptables-save text to `Table` values and renders them.

Input: text of iptables-save or ip6tables-save. Output: tables in the order of the text. Also accepts ``-I`` with a rule
number, ``-N``, ``-P``, and tables without declarations of built-in chains, so that nodewall's restore text and
hand-written text parse. Errors: `TextRefused` with the line number; ``ValueError`` when rendering an invalid name.
Sources: iptables-save(8), iptables-restore(8).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.errors import TextRefused, safe_text
from engine.rulesets.model import Chain, Counters, Family, Hook, Match, Rule, Table
from engine.rulesets.text.options import RULE_OPTIONS
from engine.rulesets.text.quoting import plain_name, quote, quote_always, quote_text, tokens
from engine.rulesets.text.rule import USER_TEXT_OPTIONS, RuleReader

_SPELLING = {option.name: word for word, option in RULE_OPTIONS.items() if len(word) == 2}

_ALWAYS_QUOTED = frozenset(
    {("string", "string"), ("string", "hex-string"), ("u32", "u32"), ("bpf", "bytecode"), ("connlabel", "label")}
)
"""(module, option) pairs whose value iptables always prints in quotes."""

_COMMANDS = {"--append": "-A", "--insert": "-I", "--new-chain": "-N", "--policy": "-P"}
_HOOKS: Mapping[str, frozenset[str]] = {
    "filter": frozenset("INPUT FORWARD OUTPUT".split()),
    "nat": frozenset("PREROUTING INPUT OUTPUT POSTROUTING".split()),
    "raw": frozenset("PREROUTING OUTPUT".split()),
    "security": frozenset("INPUT FORWARD OUTPUT".split()),
}
"""Built-in chains of each table that lacks some hooks."""

_POLICIES = frozenset({"ACCEPT", "DROP"})
_LONGEST = 65_536
"""Maximum characters per line. iptables-restore accepts 10,239 bytes, but iptables-save may print longer lines."""

_COUNTERS = re.compile(r"\[(\d{1,20}):(\d{1,20})\]", re.ASCII)  # 64 bits have 20 digits
_CHAIN = re.compile(r":(\S+)[ \t]+(\S+)(?:[ \t]+\[(\d{1,20}):(\d{1,20})\])?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_IN_QUOTES = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(slots=True)
class _Chain:
    """A chain while its text is parsed."""

    policy: str | None = None
    counters: Counters | None = None
    rules: list[Rule] = field(default_factory=list)


def parse_tables(text: str, source: str = "iptables-save", family: Family | None = None) -> tuple[Table, ...]:
    """Parse the tables of a text, in its order; if ``family`` is given, options of the other family are refused.

    Raises:
        TextRefused: a line does not parse.
    """
    return tuple(_Reader(text, source, family).tables())


class _Reader:
    """Parser of one text; keeps the current line number for errors."""

    def __init__(self, text: str, source: str, family: Family | None) -> None:
        self._lines = enumerate(text.removesuffix("\n").split("\n"), 1)
        self._source = source
        self._number = 0
        self._controls = _CONTROL.search(text) is not None
        self._rules = RuleReader(family, self._refused)
        self._table_name = ""
        self._chains: dict[str, _Chain] = {}

    def tables(self) -> Iterator[Table]:
        names: set[str] = set()
        for line in self._significant():
            name = line[1:].strip()
            if not line.startswith("*") or not name or len(name.split()) > 1:
                raise self._refused(line, "a table such as *filter")
            if name in names:
                raise self._refused(line, "each table once")
            names.add(name)
            yield self._table(name)

    def _significant(self) -> Iterator[str]:
        for number, raw in self._lines:
            self._number = number
            if self._controls or len(raw) > _LONGEST:
                self._check(raw)
            line = raw.strip(" \t")
            if line and line[0] != "#":
                yield line

    def _check(self, line: str) -> None:
        if len(line) > _LONGEST:
            raise self._refused(line, f"a line of at most {_LONGEST} characters")
        if line.endswith("\r"):
            raise self._refused("\r", "lines that end with a line feed only")
        found = _CONTROL.search(_IN_QUOTES.sub("", line)) or re.search("\0", line)
        if found:
            raise self._refused(found[0], "no control character outside quotes, and no NUL at all")

    def _refused(self, found: str, expected: str) -> TextRefused:
        return TextRefused(self._source, self._number, f"found {safe_text(found)}", expected)

    def _table(self, name: str) -> Table:
        self._table_name, self._chains = name, {}
        for line in self._significant():
            if line[0] in "-[":
                self._command(line)
            elif line[0] == ":":
                self._declare(line)
            elif line == "COMMIT":
                return Table(name, tuple(_frozen(n, c) for n, c in self._chains.items()))
            else:
                raise self._refused(line, "a rule (-A or -I), a chain (:NAME …) or COMMIT")
        raise TextRefused(self._source, self._number, f"table {name} ends without COMMIT", "COMMIT")

    def _declare(self, line: str) -> None:
        found = _CHAIN.fullmatch(line)
        if found is None:
            raise self._refused(line, "a chain such as ':INPUT ACCEPT [0:0]'")
        name, policy, packets, octets = found.groups()
        self._new_chain(name)
        if policy != "-":
            self._set_policy(name, policy)
        if packets is not None:
            self._chains[name].counters = (int(packets), int(octets))

    def _new_chain(self, name: str) -> None:
        if name in self._chains:
            raise self._refused(name, "each chain once")
        self._chains[name] = _Chain()

    def _set_policy(self, name: str, policy: str) -> None:
        if not self._built_in(name):
            raise self._refused(policy, f"- for {safe_text(name)}, as only built-in chains have a policy")
        if policy not in _POLICIES:
            raise self._refused(policy, "the policy ACCEPT or DROP")
        self._chain(name).policy = policy

    def _built_in(self, name: str) -> bool:
        return name in _HOOKS.get(self._table_name, Hook.__members__)

    def _chain(self, name: str) -> _Chain:
        chain = self._chains.get(name)
        if chain is None:
            if not self._built_in(name):
                raise self._refused(name, "a chain that was declared above")
            chain = self._chains[name] = _Chain()
        return chain

    def _command(self, line: str) -> None:
        words = tokens(line, self._source, self._number)
        counters = None
        if words[0][0] == "[" and (found := _COUNTERS.fullmatch(words[0])):
            counters = (int(found[1]), int(found[2]))
            words = words[1:]
        match [_COMMANDS.get(word, word) for word in words[:1]] + words[1:2], words[2:]:
            case ["-A", name], rest:
                self._append(self._chain(name), rest, counters)
            case ["-I", name], rest:
                self._insert(self._chain(name), rest, counters)
            case ["-N", name], [] if counters is None:
                self._new_chain(name)
            case ["-P", name], [policy] if counters is None:
                self._set_policy(name, policy)
            case _:
                raise self._refused(line, "a rule (-A or -I), a chain (:NAME …) or COMMIT")

    def _append(self, chain: _Chain, words: list[str], counters: Counters | None) -> None:
        rule = self._rules.read(words, self._chains, counters)
        if rule is not None:
            chain.rules.append(rule)

    def _insert(self, chain: _Chain, words: list[str], counters: Counters | None) -> None:
        position, words = self._position(words, len(chain.rules))
        rule = self._rules.read(words, self._chains, counters)
        if rule is not None:
            chain.rules.insert(position, rule)

    def _position(self, words: list[str], last: int) -> tuple[int, list[str]]:
        if not words or not words[0].isdecimal():
            return 0, words
        number = int(words[0][:20])
        if not 1 <= number <= last + 1:
            raise self._refused(words[0], f"a rule number from 1 to {last + 1}")
        return number - 1, words[1:]


def _frozen(name: str, chain: _Chain) -> Chain:
    return Chain(name, tuple(chain.rules), chain.policy, chain.counters)


def render_tables(tables: Sequence[Table], *, counters: bool = False) -> str:
    """Return the tables as iptables-save prints them and iptables-restore reads them."""
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
    """Return the matches and the target of a rule as words, each with a leading space."""
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
    return [*(["!"] if match.negated else []), option, *(_render_value(match, value) for value in match.values)]


def _render_value(match: Match, value: str) -> str:
    if match.option in USER_TEXT_OPTIONS:
        return quote_text(value)
    return quote_always(value) if (match.module, match.option) in _ALWAYS_QUOTED else quote(value)
