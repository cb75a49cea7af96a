"""Numbers of thousands of digits in rulesets, which Python refuses to convert."""

import pytest

from engine.errors import TextRefused
from engine.rulesets.model import Family
from engine.rulesets.text import parse_tables

LONG = "9" * 5000


@pytest.mark.parametrize(
    "line",
    [f":INPUT ACCEPT [{LONG}:1]", f"[{LONG}:1] -A INPUT -j DROP", f"-A INPUT -c {LONG} 1 -j DROP", f"-I INPUT {LONG}"],
    ids=["chain", "rule", "option", "position"],
)
def test_long_number_is_refused(line: str) -> None:
    """With its line, as other text that iptables does not print."""
    with pytest.raises(TextRefused, match=":3:"):
        parse_tables(f"*filter\n:INPUT ACCEPT [0:0]\n{line}\nCOMMIT\n", "dump", Family.IPV4)
