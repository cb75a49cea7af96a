"""Text that is no dump is refused by line, with what was found and what was expected, whatever is done to it."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TextRefused
from engine.rulesets.model import Family
from engine.rulesets.text import parse_tables
from tests.support.rulesets.corpus.lines import CHAINS, corpus

HEAD = "".join(f":{chain} - [0:0]\n" for chain in CHAINS)
LINES = [line.text for line in corpus(Family.IPV4) if line.table == "filter"]
PIECES = st.sampled_from(
    ["\n", "\0", "\r", '"', "\\", "!", "-", "--", "=", " ", "*", ":", "COMMIT", "-m", "-j", "\u2028"]
)


@pytest.mark.parametrize(
    "text,family,line,said",
    [
        ("*filter\n-A INPUT -s 10.0.0", Family.IPV4, 2, "ends without COMMIT"),
        ('*filter\n-A INPUT -m comment --comment "a', Family.IPV4, 2, "quoted in pairs"),
        ("*filter\n-A INPUT -j DROP\n*nat\nCOMMIT\n", Family.IPV4, 3, "COMMIT"),
        ("-A INPUT -j DROP\n", Family.IPV4, 1, "a table such as *filter"),
        ("*filter\n-A PREROUTING -j DROP\nCOMMIT\n", Family.IPV4, 2, "a chain that was declared above"),
        ("*filter\nCOMMIT\n*filter\nCOMMIT\n", Family.IPV4, 3, "each table once"),
        ("*filter\n:X - [0:0]\n:X - [0:0]\nCOMMIT\n", Family.IPV4, 3, "each chain once"),
        ("*filter\n:X\nCOMMIT\n", Family.IPV4, 2, "a chain such as"),
        ("*filter\n:X ACCEPT [0:0]\nCOMMIT\n", Family.IPV4, 2, "only built-in chains have a policy"),
        ("*filter\n:INPUT REJECT [0:0]\nCOMMIT\n", Family.IPV4, 2, "the policy ACCEPT or DROP"),
        ("*filter\r\nCOMMIT\r\n", Family.IPV4, 1, "lines that end with a line feed only"),
        ('*filter\n-A INPUT -m comment --comment "a\0b"\nCOMMIT\n', Family.IPV4, 2, "no NUL at all"),
        ("*filter\n-A INPUT -i \x1beth0\nCOMMIT\n", Family.IPV4, 2, "no control character outside quotes"),
        (f"*filter\n-A INPUT {'x' * 1_000_000}\nCOMMIT\n", Family.IPV4, 2, "a line of at most 65536 characters"),
        ("*filter\n-A INPUT -s fd00::1\nCOMMIT\n", Family.IPV4, 2, "an IPv4 address"),
        ("*filter\n-A INPUT -s 10.0.0.1\nCOMMIT\n", Family.IPV6, 2, "an IPv6 address"),
        ("*filter\n-A INPUT -m icmp6 --icmpv6-type 1\nCOMMIT\n", Family.IPV4, 2, "what IPv4 has"),
        ("*filter\n-A INPUT ! -j DROP\nCOMMIT\n", Family.IPV4, 2, "an option that can be inverted"),
    ],
)
def test_bad_text_is_refused_by_line(text: str, family: Family, line: int, said: str) -> None:
    """Each way in which a dump can be broken is named, with its line and what was expected there."""
    with pytest.raises(TextRefused, match=re.escape(said)) as refused:
        parse_tables(text, "x", family)
    assert str(refused.value).startswith(f"x:{line}: ")
    assert len(str(refused.value)) < 400


@given(st.lists(st.sampled_from(LINES), max_size=3), st.lists(st.tuples(st.integers(0, 600), PIECES), max_size=3))
def test_a_mangled_dump_is_read_or_refused(lines: list[str], pieces: list[tuple[int, str]]) -> None:
    """Whatever is put into a dump, it is read or refused, and nothing else ever comes of it."""
    text = "\n".join([f"*filter\n{HEAD}", *lines, "COMMIT", ""])
    for at, piece in pieces:
        text = text[:at] + piece + text[at:]
    with suppress(TextRefused):
        parse_tables(text, family=Family.IPV4)
