"""Seeds of random numbers in tests: fixed in `make test`, new in each `make soak`, which prints them.

Input is the variable ``TEST_SEED``; hypothesis gets the same number by ``--hypothesis-seed`` (see tox.ini).
"""

import os
from random import Random

from hypothesis import settings

from tests.support.rulesets.ruleset_builders import SOAK

SEED = os.environ.get("TEST_SEED", "")
"""Empty if seeds are fixed."""

TIMES_IN_SOAK = 100


def seeded(seed: int | str) -> Random:
    """Return a random generator that repeats its numbers in each run with the same ``TEST_SEED``."""
    return Random(f"{SEED} {seed}" if SEED else seed)


def examples(count: int) -> settings:
    """Return settings for ``count`` examples of a slow test, and for more of them in soak."""
    return settings(max_examples=count * (TIMES_IN_SOAK if SOAK else 1))
