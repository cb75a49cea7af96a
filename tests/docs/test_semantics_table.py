"""docs/reference/semantics.md lists every field of every model that nodewall reads, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.objects import KINDS
from engine.objects.config import Configuration

TABLES = Path(__file__).parents[2] / "docs/reference/semantics.md"

Tables = dict[str, dict[str, str]]
"""Model -> field -> meaning."""


def documented() -> Tables:
    """Return the tables under the headings that name a model."""
    tables: Tables = {}
    for section in re.split(r"^## ", TABLES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE)
        tables[section.split("`")[1]] = dict(rows)
    return tables


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and all below it."""
    yield model
    for field in model.model_fields.values():
        for found in _within(field.annotation):
            yield from models(found)


def _within(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _within(part)


def all_models() -> dict[str, type[BaseModel]]:
    """Return every model that a manifest or a configuration can hold, by name."""
    return {model.__name__: model for root in (*KINDS.values(), Configuration) for model in models(root)}


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields under the names they have in manifests."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def test_the_tables_list_exactly_the_fields_of_the_models() -> None:
    """The tables list exactly the fields of the models, in their order."""
    expected = {name: list(fields_of(model)) for name, model in all_models().items()}

    assert {name: list(rows) for name, rows in documented().items()} == expected


def test_the_fields_said_to_be_refused_are_those_that_can_hold_nothing() -> None:
    """The fields said to be refused are those that can hold nothing, but for a status, which is ignored."""
    refused = {
        (name, field) for name, rows in documented().items() for field, text in rows.items() if text[:8] == "refused:"
    }
    empty = {
        (name, alias)
        for name, model in all_models().items()
        for alias, field in fields_of(model).items()
        if field.annotation is NoneType or field.annotation is None
    }

    assert refused == empty - {(kind, "status") for kind in ("ClusterNetworkPolicy", "Tier", "ClusterGroup")}
