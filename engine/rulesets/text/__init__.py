"""The text of iptables-save, iptables-restore and ipset save, read into values and written back.

Nothing is lost: matches that nodewall does not know are kept word for word, counters and policies stay.
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
