"""Author of random policies of both families, and of changes to them."""

from collections.abc import Iterator

from engine.events import EventBody, declaration_of, deletion_of
from engine.objects import ClusterNetworkPolicy
from tests.support.rulesets.ruleset_builders import Json, policy
from tests.support.seeds import seeded

NETWORKS = (
    *("10.1.0.0/28", "10.1.0.0/30", "10.1.0.4/30", "10.1.0.2/31", "10.1.0.3/32", "10.1.0.8/29", "10.1.0.12/32"),
    *("2001:db8::/124", "2001:db8::/126", "2001:db8::4/126", "2001:db8::2/127", "2001:db8::3/128", "2001:db8::8/125"),
)
EXCEPTS = {"10.1.0.0/28": ("10.1.0.4/30", "10.1.0.3/32"), "2001:db8::/124": ("2001:db8::4/126", "2001:db8::3/128")}
PORTS = ((), (80,), (443,), (80, 443))
NAMES = "abcde"


class Author:
    """Changes policies at random: replaces peers or whole rules, and sometimes adds or deletes a policy."""

    def __init__(self, seed: str) -> None:
        self._dice = seeded(seed)
        self._known: dict[str, Json] = {}

    def news(self) -> Iterator[EventBody]:
        """Yield the events of one change."""
        dice = self._dice
        if self._known and dice.random() < 0.5:  # only set members change
            names = dice.sample(sorted(self._known), dice.randint(1, min(3, len(self._known))))
            fresh: dict[str, Json] = {name: {**self._known[name], "from": self._peers()} for name in names}
        else:
            names = dice.sample(NAMES, dice.randint(1, 3))
            fresh = {name: self._rule() for name in names if name not in self._known or dice.random() < 0.8}
        for name in names:
            if name in fresh:
                self._known[name] = fresh[name]
                yield declaration_of(self._policy(name))
            else:
                del self._known[name]
                yield deletion_of("ClusterNetworkPolicy", name)

    def _policy(self, name: str) -> ClusterNetworkPolicy:
        return policy(name, ingress=[self._known[name]], priority=float(1 + NAMES.index(name)))

    def _rule(self) -> Json:
        ports = [{"port": port, "protocol": "TCP"} for port in self._dice.choice(PORTS)]
        action = self._dice.choice(("Allow", "Allow", "Drop", "Drop", "Reject"))
        return {"action": action, **({"ports": ports} if ports else {}), "from": self._peers()}

    def _peers(self) -> list[Json]:
        return [{"ipBlock": self._block(text)} for text in self._dice.sample(NETWORKS, self._dice.randint(1, 4))]

    def _block(self, text: str) -> Json:
        excepted = [each for each in EXCEPTS.get(text, ()) if self._dice.random() < 0.5]
        return {"cidr": text, **({"except": excepted} if excepted else {})}
