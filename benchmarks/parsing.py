"""Benchmark of the parser: dumps of kube-proxy and nodewall rules with comments and counters."""

import shlex
from collections.abc import Callable
from time import process_time

from engine.rulesets.text import parse_tables

_SERVICE = """
-A KUBE-SERVICES -d 10.96.{x}.{y}/32 -p tcp {told} cluster IP" -m tcp --dport 443 -j KUBE-SVC-{n:016X}
-A KUBE-SVC-{n:016X} ! -s 10.244.0.0/16 -d 10.96.{x}.{y}/32 -p tcp {told}" -m tcp --dport 443 -j KUBE-MARK-MASQ
-A KUBE-SVC-{n:016X} {told} -> :80" -m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-{n:016X}
-A KUBE-SEP-{n:016X} -s 10.244.{x}.{y}/32 {told}" -j KUBE-MARK-MASQ
-A KUBE-SEP-{n:016X} -p tcp {told}" -m tcp -j DNAT --to-destination 10.244.{x}.{y}:8080
-A NW-INGRESS -p tcp -m set --match-set nw-4-{n:08x} src -m tcp --dport {n} {told} Drop" -j DROP
""".strip().splitlines()
_TOLD = '-m comment --comment "ns-{x}/web-{n}:http'


def main() -> None:
    """Print rules per second at 1,000 and at 10,000 rules, and the ratio to splitting the lines alone."""
    print("parsing: a dump of kube-proxy's and nodewall's rules, with counters")
    print(f"  {'rules':>8}{'parse_tables':>20}{'shlex.split alone':>24}{'ratio':>8}")
    for rules in (1000, 10_000):
        text = dump(rules)
        parsed, split = (rules / _best(work, text) for work in (parse_tables, _split))
        print(f"  {rules:>8,}{parsed:>13,.0f} rules/s{split:>17,.0f} rules/s{parsed / split:>8.1f}")


def _split(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines()]


def dump(rules: int) -> str:
    """Return the text of a dump with that many rules."""
    services = [{"n": n, "x": n // 250 % 250, "y": n % 250} for n in range(1, rules // len(_SERVICE) + 2)]
    lines = [
        f"[{words['n']}:{words['n'] * 60}] {line.format(**words, told=_TOLD.format(**words))}"
        for words in services
        for line in _SERVICE
    ][:rules]
    chains = [f":KUBE-{kind}-{words['n']:016X} - [0:0]" for words in services for kind in ("SVC", "SEP")]
    head = ["*nat", *(f":{name} - [0:0]" for name in ("KUBE-SERVICES", "KUBE-MARK-MASQ", "NW-INGRESS")), *chains]
    return "\n".join([*head, *lines, "COMMIT", ""])


def _best(work: Callable[[str], object], text: str, times: int = 3) -> float:
    """Return the processor seconds of the fastest of several runs."""
    seconds = []
    for _ in range(times):
        start = process_time()
        work(text)
        seconds.append(process_time() - start)
    return min(seconds)
