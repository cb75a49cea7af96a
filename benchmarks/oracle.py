"""Benchmark of the kernel oracle: packets per second through a real kernel, by backend and family.

With ``nft`` each matched rule is read too. Drawing, writing and simulating packets is not counted.
"""

from time import perf_counter

from engine.rulesets.model import Family
from tests.support.kernel.kernel_traversal import Crossing, loaded, shot_of
from tests.support.packets.packet_drafts import Dice, numbers
from tests.support.packets.ruleset_edge_packets import aimed
from tests.support.rulesets.random_rulesets import Author

WINDOW, WINDOWS = 500, 20


def main() -> None:
    """Print the packets per second of each backend and family."""
    print(f"oracle of netfilter: windows of {WINDOW} packets")
    for backend in ("nft", "legacy"):
        for family in Family:
            print(f"  {backend:7} {family} {rate(backend, family):7.0f} packets/s")


def rate(backend: str, family: Family) -> float:
    """Return the packets per second that the oracle follows through one random ruleset."""
    with Crossing(traced=backend == "nft") as rig:
        world, dice, number = Author(f"{family} rate", family).world(), Dice(0), numbers()
        _walker, rules = loaded(rig, world, backend)
        drafts = aimed(dice, rules, family)
        windows = [[shot_of(dice.choice(drafts), next(number)) for _ in range(WINDOW)] for _ in range(WINDOWS)]
        start = perf_counter()
        for shots in windows:
            rig.follow(shots)
        return WINDOW * WINDOWS / (perf_counter() - start)
