"""Parses the words of one iptables rule to a `Rule`, with the option semantics of iptables.

Input: words of :func:`engine.rulesets.text.quoting.tokens`. Output: `Rule`, or None for a rule of the other family
only. Raises the `TextRefused` that the parameter ``refuse`` builds, because only the caller knows the line number.

An option belongs to the last loaded match or target that has it, else to the match that the protocol implies. A name
may be abbreviated if it is unique, and a value may follow after ``=``. The ``!`` of a negated option may also come
after the option, as in iptables up to 1.8.8.

Sources: iptables(8), iptables-extensions(8), ``do_parse`` of iptables 1.8.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from engine.errors import TextRefused
from engine.rulesets.model import Counters, Family, Match, Rule, Target
from engine.rulesets.text.options import (
    ADDRESS_OPTIONS,
    FOREIGN_MODULES,
    IMPLIED,
    OPTIONS,
    RULE_OPTIONS,
    Option,
    OptionTable,
)
from engine.rulesets.text.quoting import Quoted

Refuse = Callable[[str, str], TextRefused]
"""Builds the error from what was found and what was expected; adds the location."""

USER_TEXT_OPTIONS = frozenset("comment helper log-prefix nflog-prefix path".split())
"""Options with user text as value, which iptables prints in quotes unless it is plain."""

_NONE: OptionTable = {}
_LONG: OptionTable = {word[2:]: option for word, option in RULE_OPTIONS.items() if word.startswith("--")}
_PLAIN = frozenset("source destination in-interface out-interface protocol fragment".split())
_EXPECTED = "an option such as --dport"
_MISSING = {"match": "the name of a match after it", "jump": "one target", "goto": "one target"}
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}(?![\w.])")
_COUNTERS = re.compile(r"(\d{1,20})[, ](\d{1,20})", re.ASCII)  # 64 bits have 20 digits


@dataclass(slots=True)
class _Part:
    """A match, the target, or an option of iptables itself during parsing; ``options`` None accepts any option."""

    name: str
    options: OptionTable | None
    found: list[Match] = field(default_factory=list)
    target: bool = False


class RuleReader:
    """Parses the rules of one text, one after another.

    Equal options share one `Match` object, because the rules of a text repeat many of them.
    """

    def __init__(self, family: Family | None, refuse: Refuse) -> None:
        self._family = family
        self._foreign = FOREIGN_MODULES[family] if family else frozenset()
        self._refuse = refuse
        self._alike: dict[tuple[str, str, tuple[str, ...], bool], Match] = {}
        self._plain: dict[tuple[str, str, bool], _Part] = {}
        self._start([], ())

    def read(self, words: list[str], chains: Collection[str], counters: Counters | None = None) -> Rule | None:
        """Parse the words after the chain name; None for a rule of the other family only.

        Raises:
            TextRefused: built by ``refuse``.
        """
        self._start(words, chains, counters)
        while self._at < len(words):
            self._next()
        return None if self._other_family else Rule(self._matches(), self._whole_target(), self._counters)

    def _start(self, words: list[str], chains: Collection[str], counters: Counters | None = None) -> None:
        self._words = words
        self._at = 0
        self._chains = chains
        self._counters = counters
        self._parts: list[_Part] = []
        self._target: Target | None = None
        self._other_family = False

    def _matches(self) -> tuple[Match, ...]:
        """Return the matches; a bare ``-m`` is kept only if it has no options or starts another match."""
        made: list[Match] = []
        before = ""
        for part in self._parts:
            if part.target:
                continue
            if part.name:
                if part.name == before or not part.found:
                    made.append(self._match(part.name, "", (), negated=False))
                before = part.name
            made += part.found
        return tuple(made)

    def _whole_target(self) -> Target | None:
        for part in self._parts:
            if part.target and part.found and self._target:
                return Target(self._target.name, tuple(part.found), self._target.goto)
        return self._target

    def _next(self) -> None:
        words = self._words
        word = words[self._at]
        negated = word == "!" and type(word) is str
        if negated:
            self._at += 1
            if self._at >= len(words):
                raise self._refuse("the end", _EXPECTED)
            word = words[self._at]
        self._at += 1
        native = RULE_OPTIONS.get(word)
        if type(word) is Quoted or (native is None and not word.startswith("--")):
            raise self._refuse(word, _EXPECTED)
        if native is not None:
            self._native(native, negated=negated)
        else:
            self._extension(word[2:], negated=negated)

    def _native(self, option: Option, *, negated: bool) -> None:
        name = option.name
        if name in _PLAIN:
            negated = self._inverted(option) or negated
            self._parts.append(self._plain_part(name, self._values(option), negated=negated))
            return
        if negated:
            raise self._refuse("!", "an option that can be inverted")
        values = self._values(option)
        if name == "match":
            self._load(values[0])
        elif name == "counters":
            self._count(" ".join(values))
        elif values:
            self._jump(values[0], goto=name == "goto")
        else:
            self._only(name)

    def _plain_part(self, name: str, values: tuple[str, ...], *, negated: bool) -> _Part:
        """Return a part that never gets more options, so rules can share it."""
        key = (name, values[0] if values else "", negated)
        part = self._plain.get(key)
        if part is None:
            part = self._plain[key] = _Part("", _NONE, [self._match("", name, values, negated=negated)])
        return part

    def _load(self, name: str) -> None:
        self._check_family(name)
        self._parts.append(_Part(name, OPTIONS.get(name)))

    def _jump(self, name: str, *, goto: bool) -> None:
        if self._target is not None:
            raise self._refuse(name, "one target")
        self._target = Target(name, goto=goto)
        if name in self._chains:
            return
        self._check_family(name)
        self._parts.append(_Part(name, OPTIONS.get(name), target=True))

    def _count(self, text: str) -> None:
        found = _COUNTERS.fullmatch(text)
        if found is None:
            raise self._refuse(text, "packets and bytes after -c")
        self._counters = (int(found[1]), int(found[2]))

    def _only(self, name: str) -> None:
        if self._family is None:
            raise self._refuse(f"--{name}", "rules of one family")
        self._other_family |= self._family.lower() != name

    def _check_family(self, name: str) -> None:
        if name in self._foreign:
            raise self._refuse(name, f"what {self._family} has")

    def _extension(self, name: str, *, negated: bool) -> None:
        part = self._parts[-1] if self._parts else None
        option = part.options.get(name) if part and part.options else None
        if part is None or option is None:
            found = self._owner(name)
            if found is None:
                return self._spelled_out(name, negated=negated)
            part, option = found
        return self._add(part, option, negated=negated)

    def _add(self, part: _Part, option: Option, *, negated: bool) -> None:
        negated = self._inverted(option) or negated
        module = "" if part.target else part.name
        part.found.append(self._match(module, option.name, self._values(option), negated=negated))

    def _owner(self, name: str) -> tuple[_Part, Option] | None:
        """Return the part that has an option of exactly that name; an unknown module takes all options after it."""
        newest = self._newest()
        if newest is not None and newest.options is None:
            return newest, _unknown(name)
        for part in reversed(self._parts):
            if part.options and name in part.options:
                return part, part.options[name]
        return None

    def _newest(self) -> _Part | None:
        return next((part for part in reversed(self._parts) if part.options is not _NONE), None)

    def _spelled_out(self, name: str, *, negated: bool) -> None:
        """Parse an option without an exact match: abbreviated, implied by the protocol, or unknown."""
        name, equals, value = name.partition("=")
        if not name:
            raise self._refuse("--", _EXPECTED)
        if equals:
            self._words.insert(self._at, Quoted(value))
            return self._named(name, negated=negated)
        whole = self._completed(name)
        if whole is not None:
            return self._named(whole, negated=negated)
        newest = self._newest()
        if newest is None:
            self._parts.append(newest := _Part("", None))
        return self._add(newest, _unknown(name), negated=negated)

    def _completed(self, name: str) -> str | None:
        """Return the only option with that prefix; loads the protocol's match if no other part has one."""
        visible = [_LONG, *(part.options for part in self._parts if part.options)]
        whole = _only_one(name, visible)
        implied = self._implied()
        if whole is None and implied and (whole := _only_one(name, [OPTIONS[implied]])):
            self._load(implied)
        return whole

    def _named(self, name: str, *, negated: bool) -> None:
        native = RULE_OPTIONS.get(f"--{name}")
        if native is not None:
            self._native(native, negated=negated)
        else:
            self._extension(name, negated=negated)

    def _implied(self) -> str | None:
        protocols = (m for part in self._parts for m in part.found if not part.name and m.option == "protocol")
        return next((IMPLIED.get(m.values[0].lower()) for m in protocols if not m.negated), None)

    def _inverted(self, option: Option) -> bool:
        """Return whether a ``!`` follows the option (the old spelling), and skip it."""
        words, at = self._words, self._at
        if at + 1 >= len(words) or words[at] != "!" or type(words[at]) is Quoted:
            return False
        if option.arity == 0 or option.name in USER_TEXT_OPTIONS or _is_option(words[at + 1]):
            return False
        self._at += 1
        return True

    def _values(self, option: Option) -> tuple[str, ...]:
        words, start = self._words, self._at
        if option.arity is None:
            end = start
            while end < len(words) and not _is_option(words[end]) and (words[end] != "!" or _quoted(words[end])):
                end += 1
        else:
            end = start + option.arity
            if end > len(words):
                raise self._refuse(option.name, _MISSING.get(option.name) or _expected_values(option.arity))
        self._at = end
        return tuple([word if type(word) is str else str(word) for word in words[start:end]])

    def _match(self, module: str, option: str, values: tuple[str, ...], *, negated: bool) -> Match:
        key = (module, option, values, negated)
        found = self._alike.get(key)
        if found is None:
            if option in ADDRESS_OPTIONS and values:
                self._check_address(values[0])
            found = self._alike[key] = Match(module, option, values, negated)
        return found

    def _check_address(self, text: str) -> None:
        if self._family is Family.IPV4 and text.count(":") > 1:
            raise self._refuse(text, "an IPv4 address, as this is text of IPv4")
        if self._family is Family.IPV6 and _IPV4.match(text):
            raise self._refuse(text, "an IPv6 address, as this is text of IPv6")


def _quoted(word: str) -> bool:
    return type(word) is Quoted


def _is_option(word: str) -> bool:
    return word[:1] == "-" and len(word) > 1 and type(word) is not Quoted and not word[1].isdigit()


def _unknown(name: str) -> Option:
    return Option(name, 1 if name in USER_TEXT_OPTIONS else None)


def _expected_values(arity: int) -> str:
    return "a value after it" if arity == 1 else f"{arity} values after it"


def _only_one(name: str, places: Iterable[OptionTable]) -> str | None:
    """Return the only option with that prefix, by any of its spellings."""
    found = {option.name: word for options in places for word, option in options.items() if word.startswith(name)}
    return next(iter(found.values())) if len(found) == 1 else None
