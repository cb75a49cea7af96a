"""What was expected of packets, what the simulator says and what kernels did, side by side."""

from collections.abc import Mapping, Sequence

from adapters.cli.render.output import table
from adapters.lab.netns import DeliveryOutcome
from scenarios.run import PacketResult

Kernels = Mapping[str, Sequence[DeliveryOutcome | None]]
"""Backend -> what it did to each packet, None where it was not tried."""


def agrees(result: PacketResult, outcome: DeliveryOutcome | None) -> bool:
    """Return whether simulator and kernel did what was expected; a packet that was not tried is no contradiction."""
    return result.agrees and (outcome is None or outcome.value == result.case.expect.verdict)


def all_agree(results: Sequence[PacketResult], kernels: Kernels) -> bool:
    """Return whether simulator and kernels did what was expected of every packet."""
    simulated = all(result.agrees for result in results)
    return simulated and all(all(map(agrees, results, outcomes)) for outcomes in kernels.values())


def packet_table(results: Sequence[PacketResult], kernels: Kernels) -> str:
    """Return a table with a row per packet and a column per kernel."""
    rows = []
    for index, result in enumerate(results):
        outcomes = [outcomes[index] for outcomes in kernels.values()]
        did = (outcome.value if outcome else "(not tried)" for outcome in outcomes)
        agreed = result.agrees and all(agrees(result, outcome) for outcome in outcomes)
        says = result.case.expect.verdict, result.answer.verdict.value
        rows.append((result.case.name, *says, *did, "yes" if agreed else "NO"))
    headers = ("packet", "policy says", "simulator says", *(f"kernel did ({name})" for name in kernels), "agree")
    return table(headers, rows)
