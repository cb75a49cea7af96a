"""Compares the expected verdicts of a scenario's packets with those of the simulator and of real kernels.

Input: :class:`PacketResult` values (expected and simulated verdict of a packet), and the :class:`DeliveryOutcome`
values (accept, drop or reject) of each backend. Output: whether all agree, or a text table with one row per packet.

None as an outcome means that the packet was not sent through that kernel; it counts as agreement.
"""

from collections.abc import Mapping, Sequence

from adapters.cli.render.output import table
from adapters.lab.netns import DeliveryOutcome
from scenarios.run import PacketResult

Kernels = Mapping[str, Sequence[DeliveryOutcome | None]]
"""Backend name -> outcome of each packet, None if it was not tried."""


def agrees(result: PacketResult, outcome: DeliveryOutcome | None) -> bool:
    """Return whether simulator and kernel gave the expected verdict; an outcome of None agrees."""
    return result.agrees and (outcome is None or outcome.value == result.case.expect.verdict)


def all_agree(results: Sequence[PacketResult], kernels: Kernels) -> bool:
    """Return whether simulator and kernels gave the expected verdict for every packet."""
    simulated = all(result.agrees for result in results)
    return simulated and all(all(map(agrees, results, outcomes)) for outcomes in kernels.values())


def packet_table(results: Sequence[PacketResult], kernels: Kernels) -> str:
    """Return a text table with one row per packet and one column per kernel."""
    rows = []
    for index, result in enumerate(results):
        outcomes = [outcomes[index] for outcomes in kernels.values()]
        did = (outcome.value if outcome else "(not tried)" for outcome in outcomes)
        agreed = result.agrees and all(agrees(result, outcome) for outcome in outcomes)
        says = result.case.expect.verdict, result.answer.verdict.value
        rows.append((result.case.name, *says, *did, "yes" if agreed else "NO"))
    headers = ("packet", "policy says", "simulator says", *(f"kernel did ({name})" for name in kernels), "agree")
    return table(headers, rows)
