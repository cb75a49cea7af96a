"""What a scenario folder holds, as values: its ``scenario.yaml`` and the rules that must come out.

A folder has ``scenario.yaml`` (below), the manifests it names, and ``expected/`` with the compiled text of each tool.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from engine.errors import shown
from engine.objects import Model, ObjectName, Text
from engine.rulesets.plan import Tool
from engine.state.fold import ClusterState
from engine.validation_errors import finding

HostName = Annotated[Text, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
"""A name that a network namespace's may end with."""


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise finding(f"found {shown(text)}", "an IPv4 or IPv6 address") from None


AddressText = Annotated[Text, AfterValidator(_address)]


InterfaceName = Annotated[Text, Field(pattern=r"^[a-z][a-z0-9]{0,14}$")]


class Expectation(Model):
    """What must become of a packet: the verdict, and where given the policy and rule that decided, and logging."""

    verdict: Literal["accept", "drop", "reject"]
    policy: Text | None = None
    rule: Text | None = None
    logged: bool | None = None


class PacketCase(Model):
    """One packet in SPEC words, and what must become of it."""

    name: Text
    packet: Text
    expect: Expectation


class RefusedManifest(Model):
    """A manifest that comes after the others and must be refused, for reasons that begin like these."""

    manifest: Text
    faults: Annotated[tuple[Text, ...], Field(min_length=1)]


class Case(Model):
    """``scenario.yaml``: the manifests of the world, the node that is asked, and the packets.

    ``config`` is the node's configuration file and ``interfaces`` are those it has. ``hosts`` are machines outside the
    cluster and their addresses, for running the packets in a kernel.
    """

    description: Text
    node: ObjectName
    manifests: Annotated[tuple[Text, ...], Field(min_length=1)]
    config: Text | None = None
    interfaces: Annotated[tuple[InterfaceName, ...], Field(min_length=1)] = ("eth0",)
    refused: tuple[RefusedManifest, ...] = ()
    hosts: dict[HostName, tuple[AddressText, ...]] = Field(default_factory=dict)
    packets: tuple[PacketCase, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A case with its world, and the compiled texts on record (empty before the first ``--update``).

    ``unrefused`` are the faults that manifests should have been refused for, and were not.
    """

    name: str
    case: Case
    state: ClusterState
    expected: Mapping[Tool, str]
    unrefused: tuple[str, ...] = ()
