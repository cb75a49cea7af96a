"""What a scenario folder holds, as values: its ``scenario.yaml`` and the rules that must come out.

A folder has ``scenario.yaml`` (below), the manifests it names, and ``expected/`` with the compiled text of each tool.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from engine.errors import shown
from engine.objects import DeclaredModel, ObjectName, StrictText
from engine.rulesets.plan import Tool
from engine.state.fold import ClusterState
from engine.validation_errors import finding

HostName = Annotated[StrictText, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
"""A name that a network namespace's may end with."""


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise finding(f"found {shown(text)}", "an IPv4 or IPv6 address") from None


AddressText = Annotated[StrictText, AfterValidator(_address)]


InterfaceName = Annotated[StrictText, Field(pattern=r"^[a-z][a-z0-9]{0,14}$")]


class Expectation(DeclaredModel):
    """What must become of a packet: the verdict, and where given the policy and rule that decided, and logging."""

    verdict: Literal["accept", "drop", "reject"]
    policy: StrictText | None = None
    rule: StrictText | None = None
    logged: bool | None = None


class PacketCase(DeclaredModel):
    """One packet in SPEC words, and what must become of it."""

    name: StrictText
    packet: StrictText
    expect: Expectation


class RefusedManifest(DeclaredModel):
    """A manifest that comes after the others and must be refused, for reasons that begin like these."""

    manifest: StrictText
    faults: Annotated[tuple[StrictText, ...], Field(min_length=1)]


class ScenarioFile(DeclaredModel):
    """``scenario.yaml``: the manifests of the world, the node that is asked, and the packets.

    ``config`` is the node's configuration file and ``interfaces`` are those it has. ``hosts`` are machines outside the
    cluster and their addresses, for running the packets in a kernel.
    """

    description: StrictText
    node: ObjectName
    manifests: Annotated[tuple[StrictText, ...], Field(min_length=1)]
    config: StrictText | None = None
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
    case: ScenarioFile
    state: ClusterState
    expected: Mapping[Tool, str]
    unrefused: tuple[str, ...] = ()
