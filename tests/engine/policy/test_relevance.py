"""How the far ends of packets are spelled, by which events about others are passed over."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from engine.policy.completed_rules import Direction
from engine.policy.relevance import NumberSpan, PacketScope, json_prefixes


@st.composite
def spans(draw: st.DrawFn) -> NumberSpan:
    """Draw a few neighbouring addresses, or many."""
    version = draw(st.sampled_from((4, 6)))
    bits = 32 if version == 4 else 128
    first = draw(st.integers(0, 2**bits - 1)) >> (zeros := draw(st.integers(0, bits))) << zeros
    return version, first, min(2**bits - 1, first + draw(st.sampled_from((0, 1, 255, 2**16, 2**zeros - 1))))


@given(spans(), st.data())
def test_every_address_of_a_span_begins_as_said(span: NumberSpan, data: st.DataObject) -> None:
    """Wherever such text stands in an event, it has to be read."""
    version, first, last = span
    number = data.draw(st.sampled_from((first, last)) | st.integers(first, last))
    text = f'"{IPv4Address(number) if version == 4 else IPv6Address(number)}"'
    found = json_prefixes([PacketScope("n", Direction.INGRESS, (span,))])
    assert found is None or any(text.startswith(each) for each in found)


def test_what_all_have_in_common_is_told() -> None:
    """Networks at a point or a colon, single addresses as a whole, and nothing where nothing is common."""
    texts = {"10.20.0.0/16": '"10.20.', "10.20.30.0/31": '"10.20.30.', "10.0.0.1/32": '"10.0.0.1"'}
    for text, beginning in texts.items():
        address, _, length = text.partition("/")
        first = int(IPv4Address(address))
        span = (4, first, first + 2 ** (32 - int(length)) - 1)
        assert json_prefixes([PacketScope("n", None, (span,))]) == frozenset({beginning})
    six = int(IPv6Address("2001:db8::"))
    assert json_prefixes([PacketScope("n", None, ((6, six, six + 1),))]) == frozenset({'"2001:db8:'})
    assert json_prefixes([PacketScope("n", None, ((4, 0, 2**32 - 1),))]) is None
