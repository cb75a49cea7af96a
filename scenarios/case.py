"""Models of a scenario folder: ``scenario.yaml`` and the expected ruleset texts.

A folder has ``scenario.yaml`` (`ScenarioFile`), the manifests that it names, and ``expected/`` with the compiled text
for each tool, such as iptables. `Scenario` is a loaded folder with its cluster state. Raises
``pydantic.ValidationError`` for a ``scenario.yaml`` that does not fit the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from engine.errors import safe_text
from engine.objects import DeclaredModel, ObjectName, StrictText
from engine.rulesets.plan import Tool
from engine.state.fold import ClusterState
from engine.validation_errors import validation_error

HostName = Annotated[StrictText, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
"""Valid suffix of a network namespace's name."""


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise validation_error(f"found {safe_text(text)}", "an IPv4 or IPv6 address") from None


AddressText = Annotated[StrictText, AfterValidator(_address)]


InterfaceName = Annotated[StrictText, Field(pattern=r"^[a-z][a-z0-9]{0,14}$")]


class Expectation(DeclaredModel):
    """Expected result of a packet: the verdict and, if given, the deciding policy and rule, and logging."""

    verdict: Literal["accept", "drop", "reject"]
    policy: StrictText | None = None
    rule: StrictText | None = None
    logged: bool | None = None


class PacketCase(DeclaredModel):
    """One packet in SPEC notation, and its expected result."""

    name: StrictText
    packet: StrictText
    expect: Expectation


class RefusedManifest(DeclaredModel):
    """A manifest that must be refused after the others; ``faults`` are the beginnings of the expected faults."""

    manifest: StrictText
    faults: Annotated[tuple[StrictText, ...], Field(min_length=1)]


class ScenarioFile(DeclaredModel):
    """Content of ``scenario.yaml``: manifests, the node under test, and packets.

    ``config`` is the node's configuration file, ``interfaces`` its network interfaces. ``hosts`` are machines outside
    the cluster with their addresses, for running the packets in a kernel.
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
    """A loaded scenario with its cluster state and the expected texts (empty before the first ``--update``).

    ``unrefused`` are faults that manifests should have been refused for, but were not.
    """

    name: str
    case: ScenarioFile
    state: ClusterState
    expected: Mapping[Tool, str]
    unrefused: tuple[str, ...] = ()
