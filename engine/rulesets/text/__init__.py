"""Parsers and renderers for the text of iptables-save, iptables-restore and ipset save.

``tables`` and ``ipsets`` handle whole dumps, ``steps`` and ``operations`` the changes of a plan. No information is
lost: matches that nodewall does not know are kept word by word, as are counters and chain policies. Raises
`TextRefused` for text that does not parse, ``ValueError`` for a word that cannot be rendered.
"""

from engine.rulesets.text.ipsets import parse_sets, render_create, render_member, render_sets
from engine.rulesets.text.quoting import plain_name
from engine.rulesets.text.tables import parse_tables, render_rule, render_tables

__all__ = [
    "parse_sets",
    "parse_tables",
    "plain_name",
    "render_create",
    "render_member",
    "render_rule",
    "render_sets",
    "render_tables",
]
