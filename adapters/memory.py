"""How often Python looks for what nobody refers to any more."""

import gc

_YOUNG, _OLDER, _OLDEST = 50_000, 20, 100
"""New objects, and looks at the younger, after which each generation is looked at."""


def look_seldom() -> None:
    """Look seldom: nearly all that is made here lives long and refers to nothing younger.

    With 100,000 addresses a third of the time of an apply went by in such looks.
    """
    gc.set_threshold(_YOUNG, _OLDER, _OLDEST)
