"""Fixed corpus of rule lines with every match and target, as iptables-save prints them and as people write them.

iptables should accept the lines; the kernel tests find out which ones it does accept.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, product
from string import Template

from engine.rulesets.model import Family
from tests.support.rulesets.corpus.match_options import MATCHES
from tests.support.rulesets.corpus.spellings import WRITTEN, respelled
from tests.support.rulesets.corpus.target_options import TARGETS
from tests.support.seeds import seeded

WORDS: Mapping[Family, Mapping[str, str]] = {
    Family.IPV4: {
        "host": "192.0.2.7/32",
        "host_only": "192.0.2.7",
        "net": "10.0.0.0/8",
        "net2": "172.16.0.0/12",
        "mask": "10.1.2.0/255.255.254.0",
        "holes": "10.0.0.1/255.0.255.255",
        "range": "192.0.2.1-192.0.2.9",
        "at_port": "192.0.2.7:80",
        "at_ports": "192.0.2.7:1000-2000",
        "range_ports": "192.0.2.1-192.0.2.9:1000-2000",
        "ones": "255.255.255.0",
        "ones_bits": "24",
        "nets": "nwc-nets4",
        "pairs": "nwc-pairs4",
        "triples": "nwc-triples4",
        "timed": "nwc-timed4",
        "marks": "nwc-marks4",
    },
    Family.IPV6: {
        "host": "2001:db8::7/128",
        "host_only": "2001:db8::7",
        "net": "fd00::/8",
        "net2": "fc00::/8",
        "mask": "2001:db8::/ffff:ffff:ffff::",
        "holes": "2001:db8::1/ffff::ffff",
        "range": "2001:db8::1-2001:db8::9",
        "at_port": "[2001:db8::7]:80",
        "at_ports": "[2001:db8::7]:1000-2000",
        "range_ports": "[2001:db8::1-2001:db8::9]:1000-2000",
        "ones": "ffff:ffff::",
        "ones_bits": "64",
        "nets": "nwc-nets6",
        "pairs": "nwc-pairs6",
        "triples": "nwc-triples6",
        "timed": "nwc-timed6",
        "marks": "nwc-marks6",
    },
}
"""Value of each word of a template, by family."""

SETS = "".join(
    f"create nwc-{name}{number} {kind} family {family}{options}\n"
    for number, family in ((4, "inet"), (6, "inet6"))
    for name, kind, options in (
        ("nets", "hash:net", " counters"),
        ("pairs", "hash:ip,port", " counters"),
        ("triples", "hash:ip,port,ip", " counters"),
        ("timed", "hash:ip", " timeout 60"),
        ("marks", "hash:ip", " skbinfo"),
    )
)
"""Sets that the lines name, as input of ipset restore."""

CHAINS = ("OTHER", "other-chain_1.x:y")
"""User-defined chains that the lines jump to, in every table."""

_NUMBER = {Family.IPV4: "4", Family.IPV6: "6"}
_CHOICE = re.compile(r"\{([^{}]*)\}")
_NATIVES = ("", "-s $net", "! -d $host", "-i eth+", "-s $host -d $net -i eth0", "-p tcp", "! -p udp", "-p tcp ! -i lo")
_ENDS = ("", "-j ACCEPT", "-j DROP", "-j OTHER", "-g OTHER", "-j RETURN", '-j LOG --log-prefix "a \\"b\\": "')
_COMBINED = 250

UNSURE = frozenset(
    {
        "-m ipvs --ipvs",
        "-m nfacct --nfacct-name nwc",
        "-p tcp -m rateest --rateest nwc --rateest-gt --rateest-bps 1000",
        "-j QUEUE",
        "-j LED --led-trigger-id nwc",
        "-j ULOG",
        "-d 192.0.2.7/32 -i eth0 -j CLUSTERIP --new --hashmode sourceip --clustermac 01:00:5E:00:00:20 --total-nodes 2 --local-node 1",
        "-p tcp -j CT --timeout nwc",
        "-j SECMARK --selctx a:b:c:s0",
    }
)
"""Rules that not every kernel accepts: a module or an object is missing, or only iptables-legacy has them."""


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """Rule line and its table."""

    table: str
    text: str


def corpus(family: Family) -> tuple[Line, ...]:
    """Return the lines of a family without duplicates: every template, combinations of them, and other spellings."""
    written = [line for lines in spellings(family) for line in lines[1:]]
    return tuple(_counted(dict.fromkeys([*_plain(family), *_expanded(WRITTEN, family), *written])))


def spellings(family: Family) -> Iterator[tuple[Line, ...]]:
    """Yield each line in the form of iptables-save, followed by its other spellings, except the ``UNSURE`` ones."""
    for line in _plain(family):
        if line.text.split(" ", 2)[-1] not in UNSURE:
            yield line, *(Line(line.table, other) for other in respelled(line.text))


def _plain(family: Family) -> list[Line]:
    lines = [*_expanded(MATCHES, family), *_expanded(TARGETS, family)]
    return [*lines, *_combined(lines, family)]


def _expanded(templates: str, family: Family) -> Iterator[Line]:
    families, table, chain = "", "", ""
    numbers = count()
    for template in templates.strip().splitlines():
        if template.startswith("@"):
            _, families, table, chain = template.split()
        elif _NUMBER[family] in families:
            for body in _choices(template):
                words = {**WORDS[family], "n": str(next(numbers))}
                yield Line(table, f"-A {chain} {Template(body).safe_substitute(words)}".rstrip())


def _choices(template: str) -> Iterator[str]:
    """Yield the template once for each combination of its alternatives, which keep their blanks."""
    parts = _CHOICE.split(template)
    for chosen in product(*(part.split("|") if at % 2 else [part] for at, part in enumerate(parts))):
        yield "".join(chosen)


def _combined(lines: list[Line], family: Family) -> Iterator[Line]:
    """Yield rules with several matches, drawn from those that need no protocol."""
    draw = seeded(_COMBINED)
    start = "-A INPUT -m "
    pool = [line.text.removeprefix("-A INPUT ") for line in lines if line.table == "filter" and start in line.text]
    pool = [body for body in pool if body.startswith("-m ") and " -j " not in body and body not in UNSURE]
    for number in range(_COMBINED):
        words = [draw.choice(_NATIVES), *draw.sample(pool, draw.randint(1, 3))]
        words += [f'-m comment --comment "rule {number} of \\"many\\""'] * draw.randint(0, 1)
        body = " ".join(filter(None, [*words, draw.choice(_ENDS)]))
        yield Line("filter", f"-A INPUT {Template(body).safe_substitute(WORDS[family])}")


def _counted(lines: Mapping[Line, None]) -> Iterator[Line]:
    """Yield the lines; every third one gets counters, unless it has some already."""
    for number, line in enumerate(lines):
        bare = number % 3 or " 7 420 " in line.text
        yield line if bare else Line(line.table, f"[{number}:{number * 60}] {line.text}")
