"""docs/reference/expressions.md lists what expressions can ask for, and its examples are such."""

import re
from pathlib import Path

import pytest

from engine.errors import Refused
from simulator.expression import expression_text, parse
from simulator.expression.relations import FIELDS, LENGTH
from simulator.expression.vocabulary import CONSTANTS, FAMILIES, PROTOCOLS, SERVICES, UNSUPPORTED_WORDS

TEXT = (Path(__file__).parents[2] / "docs/reference/expressions.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """Return what stands under a heading."""
    return TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]


def listed(heading: str) -> list[str]:
    """Return the words in the first column of the table under a heading."""
    cells = re.findall(r"^\| (`.+?`) \| ", section(heading), re.MULTILINE)
    return [word.replace("\\|", "|") for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def test_every_refused_word_is_listed_once() -> None:
    """The table of what is refused has every word that rules cannot see."""
    assert sorted(listed("What is refused")) == sorted(UNSUPPORTED_WORDS)


def test_every_field_is_listed_once() -> None:
    """The table of relations has every field, with its size where that is not one byte."""
    names = [f"{name}[{at}]" if size == 1 else f"{name}[{at}:{size}]" for name, at, size in FIELDS if name != LENGTH[0]]
    assert sorted(listed("Relations")) == sorted((*names, LENGTH[0]))


def test_every_protocol_and_service_is_listed() -> None:
    """The primitives name all protocols that stand alone, and all services."""
    quoted = set(re.findall(r"`([^`]+)`", section("Primitives")))
    assert {*PROTOCOLS, *FAMILIES, *SERVICES} <= quoted


def test_every_flag_is_listed() -> None:
    """The relations name all flags of TCP."""
    assert {word for word in CONSTANTS if word.startswith("tcp-")} <= set(
        re.findall(r"`([^`]+)`", section("Relations"))
    )


@pytest.mark.parametrize("text", listed("Examples"))
def test_examples_are_expressions(text: str) -> None:
    """Each example is read, and so is its text as it is spelled."""
    assert parse(expression_text(parse(text))) == parse(text)


def test_the_shown_fault_is_what_is_shown() -> None:
    """The lines of the example are those of the error."""
    with pytest.raises(Refused) as caught:
        parse("host example.com")
    assert "".join(f"error: {line}\n" for line in caught.value.lines) in TEXT
