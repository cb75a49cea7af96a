"""Random policy rules that overlap as much as possible."""

from ipaddress import ip_network

from engine.ip_types import Network
from engine.policy.completed_rules import ANY_PORT, Action, CompletedRule, Direction, PortRange, Protocol, Rank, Traffic
from engine.policy.prefix_sets import AddressBlock
from tests.support.seeds import seeded


def crowded(seed: str, count: int) -> list[CompletedRule]:
    """Return rules that overlap in ports, source ports and addresses, with every action; some log."""
    dice = seeded(seed)

    def block() -> AddressBlock:
        length = dice.choice((24, 28, 30, 31, 32))
        network = ip_network(f"10.0.0.{dice.randrange(256) >> (32 - length) << (32 - length)}/{length}")
        inner: list[Network] = list(network.subnets(new_prefix=32)) if length < 32 and dice.random() < 0.3 else []
        return AddressBlock(network, tuple(dice.sample(inner, min(2, len(inner)))))

    def ports() -> PortRange:
        first = dice.choice((0, 1, 22, 80, 443, 1000, 32767, 32768, 65535))
        return (first, min(65535, first + dice.choice((0, 0, 1, 500)))) if dice.random() < 0.8 else ANY_PORT

    def service() -> Traffic:
        protocol = dice.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP, Protocol.ICMP))
        if protocol is Protocol.ICMP:
            return Traffic(protocol, icmp=dice.choice((None, (8, -1), (3, 1))))
        return Traffic(protocol, ports(), ports() if dice.random() < 0.1 else ANY_PORT)

    return [
        CompletedRule(
            f"p{number}",
            "r",
            Rank(253 if number > count * 0.8 else 250, float(number), f"p{number}", 0),
            Direction.INGRESS,
            # The last tier has no Pass.
            dice.choice((Action.ALLOW, Action.DROP, Action.REJECT, Action.PASS)[: 3 if number > count * 0.8 else 4]),
            tuple(block() for _ in range(dice.randint(1, 3))) if dice.random() < 0.85 else None,
            tuple({service() for _ in range(dice.randint(1, 2))}) if dice.random() < 0.75 else (),
            logged=dice.random() < 0.15,
        )
        for number in range(count)
    ]
