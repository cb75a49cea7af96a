"""docs/reference/configuration.md lists every key of the configuration with its default, and no other."""

import re
from pathlib import Path

import yaml

from adapters.inputs.configfile import keys
from engine.objects.config import DEFAULT_CONFIGURATION

TABLE = Path(__file__).parents[2] / "docs/reference/configuration.md"
ROWS = re.findall(r"^\| `([\w.]+)` \| (.+?) \| .+ \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_table_lists_exactly_the_keys() -> None:
    """The table lists exactly the keys of the configuration, in their order."""
    assert [key for key, _ in ROWS] == [".".join(key.path) for key in keys()]


def test_the_defaults_are_those_of_the_models() -> None:
    """The defaults in the table are those that hold."""
    plain: object = DEFAULT_CONFIGURATION.model_dump(mode="json", by_alias=True)
    for key, default in ROWS:
        value = plain
        for part in key.split("."):
            assert isinstance(value, dict)
            value = value[part]
        if key != "resolvers":  # what the node uses is no value
            assert value == yaml.safe_load(default.strip("`")), key
