"""A kernel that is read again only where something may have changed says what reading all of it would say."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.netfilter.cached import CachedKernel
from engine.rulesets.diff import diff, owned_part
from engine.rulesets.model import Family, IpSet, Ruleset
from engine.rulesets.plan import make_plan
from tests.support.kernel.memory_kernel import Held, Told
from tests.support.rulesets.ruleset_builders import observed_rulesets, owned_rulesets


def take(kernel: CachedKernel, held: Held, wanted: Ruleset) -> None:
    """Bring a ruleset into force."""
    for step in make_plan(diff(held.ruleset, wanted)).steps:
        kernel.run(step)


@given(
    st.lists(observed_rulesets(), min_size=2, max_size=3),
    st.lists(st.tuples(st.sampled_from(["ours", "others", "expect"]), st.integers(0, 2)), max_size=6),
)
def test_what_is_remembered_is_what_is_there(states: list[Ruleset], happenings: list[tuple[str, int]]) -> None:
    """Whatever is applied, done by others and told, or expected: an observation is the kernel's state."""
    held, told = Held(states[0]), Told()
    kernel = CachedKernel(held, told)
    for what, number in happenings:
        other = states[number % len(states)]
        if what == "ours":
            take(kernel, held, owned_part(other))
        elif what == "others":
            held.ruleset, told.fresh = other, frozenset(Family)
            kernel.distrust_sets()
        else:
            kernel.expect(owned_part(other))
        assert kernel.observe() == held.ruleset


@given(observed_rulesets(), owned_rulesets())
def test_what_is_equal_to_what_was_expected_is_given_as_the_same_objects(first: Ruleset, wanted: Ruleset) -> None:
    """After an apply, its rules and sets are those of what was wanted, also once they are read again."""
    held, told = Held(first), Told()
    kernel = CachedKernel(held, told)
    take(kernel, held, wanted)
    kernel.observe()
    kernel.expect(wanted)
    sets = {id(item) for item in wanted.sets}
    for _ in range(2):
        observed = kernel.observe()
        assert sets <= {id(item) for item in observed.sets}
        for family, table, chain in wanted.chains():
            if chain.owned:
                found = observed.table(family, table.name).chain(chain.name)
                assert found is not None
                assert found.rules is chain.rules
        kernel.distrust_sets()
        told.fresh = frozenset(Family)


def test_nothing_is_read_where_nothing_is_new() -> None:
    """One look reads all, the next nothing; and one whose set was written reads that set."""
    held = Held(Ruleset())
    kernel = CachedKernel(held, Told())
    take(kernel, held, Ruleset(sets=(IpSet("nw-4-a", "hash:net", Family.IPV4, (("10.0.0.1",),)),)))
    kernel.observe()
    held.reads.clear()

    kernel.observe()
    take(kernel, held, Ruleset(sets=(IpSet("nw-4-a", "hash:net", Family.IPV4, (("10.0.0.2",),)),)))
    kernel.observe()

    assert held.reads == ["nw-4-a"]
