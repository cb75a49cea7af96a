"""Dumps that are cut, mixed up or at odds with themselves are told in one line with their place, never guessed at."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TextRefused
from engine.rulesets.model import Family
from engine.rulesets.text import parse_sets, parse_tables
from tests.support.cli.command_line import Run
from tests.support.rulesets.saved_rulesets import NAMES, sets_text, text_of

PACKET = "in=eth0 src=10.0.0.1 dst=10.0.0.2 proto=tcp dport=22"
HEAD = "*filter\n:INPUT ACCEPT [0:0]\n"


@pytest.mark.parametrize(
    "text, said",
    [
        (f"{HEAD}-A INPUT -p tcp -m tcp --dp", '{path}:3: found "dport"; expected a value'),
        (f"{HEAD}-A INPUT -p tcp\n", "{path}:3: table filter ends without COMMIT"),
        ("-A INPUT -j DROP\n", "{path}:1: "),
        (f"{HEAD}-A OTHER -j DROP\nCOMMIT\n", '{path}:3: found "OTHER"'),
        (f"{HEAD}COMMIT\n{HEAD}COMMIT\n", '{path}:4: found "*filter"; expected each table once'),
        ("*filter\n:INPUT\nCOMMIT\n", '{path}:2: found ":INPUT"'),
        (f"{HEAD}-A INPUT -s fd00::/8 -j DROP\nCOMMIT\n", '{path}:3: found "fd00::/8"; expected an IPv4 address'),
        (f'{HEAD}-A INPUT -m comment --comment "a -j DROP\nCOMMIT\n', "expected words, quoted in pairs"),
        (f"{HEAD}-A INPUT -j NOPE\nCOMMIT\n", 'filter/INPUT rule 1: there is no chain "NOPE"'),
        (f"{HEAD}-A INPUT -m set --match-set s src -j DROP\nCOMMIT\n", 'rule 1: the dump lacks set "s"'),
        (f"{HEAD}-A INPUT -j SET --add-set s src\nCOMMIT\n", 'rule 1: the dump lacks set "s"'),
        (f"{HEAD}:A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -j B\n-A B -g A\nCOMMIT\n", "a loop: A -> B -> A"),
    ],
)
def test_a_faulty_dump_is_one_line_with_its_place(run: Run, tmp_path: Path, text: str, said: str) -> None:
    """A dump that the tools or the kernel would refuse is refused by its line, or by the rule that is at fault."""
    path = tmp_path / "rules"
    path.write_text(text)
    code, out, faults = run("simulate", "--ipv4", str(path), "--packet", PACKET)
    assert (code, out, len(faults)) == (2, "", 1)
    assert said.format(path=path) in faults[0]


@given(st.data())
def test_no_cut_or_mixed_up_dump_is_more_than_refused(data: st.DataObject) -> None:
    """Real dumps that lose, double or swap pieces are read or refused, whatever is done to them."""
    name = data.draw(st.sampled_from(NAMES))
    text = text_of(name, data.draw(st.sampled_from(tuple(Family)))) if data.draw(st.booleans()) else sets_text(name)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2)))
    before, piece, after = text[: places[0]], text[places[0] : places[1]][:400], text[places[1] :]
    spoiled = data.draw(st.sampled_from((before + after, before, before + piece * 2 + after, after + before)))
    for parse in (parse_tables, parse_sets):
        with suppress(TextRefused):
            parse(spoiled)
