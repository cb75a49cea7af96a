"""Writes the result of a command to stdout as text, JSON or YAML, and formats tables and coloured verdicts.

Input: the value of ``--output``, the result as a JSON value, and a function that returns the result as text. The
function is called only if the output is text.
"""

import json
from collections.abc import Callable, Sequence

import click

FORMATS = ("text", "json", "yaml")
"""Values of ``--output`` that every command accepts."""

output_option = click.option(
    "-o", "--output", type=click.Choice(FORMATS), default="text", show_default=True, help="Form of the result."
)


def emit(form: str, data: object, text: Callable[[], str]) -> None:
    """Write a result to stdout: ``data`` as JSON or YAML, or the result of ``text``."""
    match form:
        case "json":
            click.echo(json.dumps(data, ensure_ascii=False))
        case "yaml":
            import yaml  # noqa: PLC0415 - imported only for this output form

            click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
        case _:
            if written := text():
                click.echo(written)


def emit_item(form: str, data: object, text: Callable[[], str]) -> None:
    """Write one item of a stream: a JSON line, an entry of a YAML list, or the result of ``text``."""
    emit(form, [data] if form == "yaml" else data, text)


def plural(number: int, noun: str) -> str:
    """Return a number with its noun, for example ``1 op`` or ``2 ops``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a text table; each column is as wide as its longest cell."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - rich costs start-up time that only tables need
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    drawn = Table(*headers, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    console = Console(width=500, no_color=True)
    with console.capture() as captured:
        console.print(drawn)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")


VERDICT_COLOURS = {"accept": "green", "drop": "red", "reject": "yellow"}


def coloured(verdict: str) -> str:
    """Return a verdict in its terminal colour; click removes the colour in pipes."""
    return click.style(verdict, fg=VERDICT_COLOURS.get(verdict), bold=True)
