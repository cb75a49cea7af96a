"""SHA-256 digest of a ruleset's text, by which an outcome event records the rules that were applied.

Input: compiled rulesets, which are in canonical form already. Output: a hexadecimal digest. The hash of each part is
cached, so that a small change costs little.
"""

import hashlib
from operator import attrgetter

from engine.rulesets.model import Family, IpSet, Ruleset, Table
from engine.rulesets.plan import FAMILY_TOOL, Tool
from engine.rulesets.text.steps import full_text


class RulesetDigests:
    """Computes digests of successive rulesets, reusing the text of parts that stay the same."""

    def __init__(self) -> None:
        self._sets: dict[str, tuple[IpSet, bytes]] = {}
        self._tables: dict[Family, tuple[tuple[Table, ...], bytes]] = {}

    def of(self, wanted: Ruleset) -> str:
        """Return the hash of what :func:`engine.rulesets.text.steps.full_text` says of a ruleset.

        In the order of tools.
        """
        self._sets = {item.name: self._set(item) for item in sorted(wanted.sets, key=attrgetter("name"))}
        found = hashlib.sha256(b"".join(text for _, text in self._sets.values()))
        for family in Family:
            found.update(self._rules(family, wanted.tables(family)))
        return found.hexdigest()

    def _set(self, item: IpSet) -> tuple[IpSet, bytes]:
        known = self._sets.get(item.name)
        if known is not None and known[0] == item and known[0].hints == item.hints:
            return known
        return item, full_text(Ruleset(sets=(item,)))[Tool.IPSET].encode()

    def _rules(self, family: Family, tables: tuple[Table, ...]) -> bytes:
        known = self._tables.get(family)
        if known is None or known[0] != tables:
            alone = Ruleset(ipv4=tables) if family is Family.IPV4 else Ruleset(ipv6=tables)
            known = self._tables[family] = (tables, full_text(alone)[FAMILY_TOOL[family]].encode())
        return known[1]


def ruleset_digest(wanted: Ruleset) -> str:
    """Return the digest of one ruleset."""
    return RulesetDigests().of(wanted)
