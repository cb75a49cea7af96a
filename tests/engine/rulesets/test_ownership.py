"""Comments of sets' members name rules as comments of kernel rules do, in what ipset takes."""

from hypothesis import example, given
from hypothesis import strategies as st

from engine.rulesets.ownership import comment_of, member_comment, owner_of, owner_of_member
from engine.rulesets.text.quoting import quote_unescaped

NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)


@given(st.from_regex(r"[a-z0-9.-]{1,60}", fullmatch=True), NAMES)
@example("p", 'say "hello", 100 %')
@example("p", "%22")
def test_a_member_names_whose_it_is(policy: str, rule: str) -> None:
    """Whatever a rule is called: what fits is read back as it is, and nothing is what ipset does not take."""
    comment = comment_of(policy, rule)
    told = member_comment(comment)
    assert quote_unescaped(told) == f'"{told}"'
    assert len(told.encode()) <= 255
    assert owner_of_member(told) in {owner_of(comment), None}


def test_a_name_that_does_not_fit_names_nobody() -> None:
    """As its quotes take three times the room."""
    assert owner_of_member(member_comment(comment_of("p", '"' * 100))) is None
