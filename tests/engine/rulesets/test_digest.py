"""The hash by which outcomes tell what is in force."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from engine.rulesets.digest import RulesetDigests, ruleset_digest
from engine.rulesets.model import Ruleset
from engine.rulesets.text.steps import full_text
from tests.support.rulesets.ruleset_builders import owned_rulesets


@given(st.lists(owned_rulesets(), min_size=1, max_size=5))
def test_it_is_of_the_whole_text_whatever_was_hashed_before(rulesets: list[Ruleset]) -> None:
    """Texts that are kept from one ruleset to the next make no difference."""
    known = RulesetDigests()
    for ruleset in rulesets:
        whole = hashlib.sha256("".join(full_text(ruleset).values()).encode()).hexdigest()
        assert known.of(ruleset) == ruleset_digest(ruleset) == whole
