"""IPBlock model: a CIDR without some smaller CIDRs inside it.

Checks: valid CIDRs, and exceptions strictly inside the block. Source: Antrea's IPBlock, which equals Kubernetes'
IPBlock of NetworkPolicy.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from pydantic import Field, TypeAdapter, ValidationError

from engine.ip_types import Network
from engine.objects.base import CheckedModel, Cidr, RawFields, ValidationFinding
from engine.validation_errors import validation_error

_CIDR = TypeAdapter[str](Cidr)


class IPBlock(CheckedModel):
    """The addresses of ``cidr`` without those of ``except``."""

    cidr: Cidr
    except_: tuple[Cidr, ...] = Field(default=(), alias="except")

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault for each exception that is not strictly inside the block."""
        excepted = given.get("except")
        if not isinstance(excepted, list | tuple) or (outer := network_of(given.get("cidr"))) is None:
            return
        for index, text in enumerate(excepted):
            inner = network_of(text)
            if inner is not None and not _strictly_inside(inner, outer):
                problem = f"except {inner} is not strictly inside {outer}"
                yield ("except", index), validation_error(problem, "a smaller part of the cidr")

    @property
    def network(self) -> Network:
        """``cidr`` as a network."""
        return _known(self.cidr)

    @property
    def excepted(self) -> tuple[Network, ...]:
        """``except`` as networks."""
        return tuple(map(_known, self.except_))


def _known(text: str) -> Network:
    """Parse a valid CIDR; for IPv4 about four times as fast as ``ip_network``."""
    if ":" in text:
        return ip_network(text)
    address, _, length = text.partition("/")
    first, second, third, fourth = map(int, address.split("."))
    return IPv4Network((first << 24 | second << 16 | third << 8 | fourth, int(length)))


def network_of(given: object) -> Network | None:
    """Return the network of a raw field, or None if it is invalid (the field then has its own fault)."""
    try:
        return ip_network(_CIDR.validate_python(given))
    except ValidationError:
        return None


def _strictly_inside(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner != outer and inner.subnet_of(outer)
    if isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network):
        return inner != outer and inner.subnet_of(outer)
    return False
