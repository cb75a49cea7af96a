"""A scratch network namespace, for what the real tools read and print."""

from collections.abc import Iterator

import pytest

from adapters.system.process import SystemRunner
from tests.support.rulesets.ruleset_builders import scratch_namespace


@pytest.fixture
def namespace() -> Iterator[SystemRunner]:
    """A scratch network namespace."""
    with scratch_namespace("restore") as name:
        yield SystemRunner(name)
