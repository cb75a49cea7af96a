"""Matches with memory or a clock: limit, hashlimit, quota, recent, statistic, time.

`GROUPS` maps each module to its definition (`MatchGroup`), which the engines of the simulator evaluate. Counters and
lists are kept in the `MatchMemory` of a packet sequence. This memory is empty at the start of a sequence, as after
rules are loaded. If packets carry no time, no time passes between them.

Source: iptables-extensions(8); the kernel's xt_limit, xt_hashlimit, xt_quota, xt_recent, xt_statistic and xt_time.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from ipaddress import ip_address

from engine.rulesets.model import Family
from simulator.context import PacketContext
from simulator.matches.base import (
    CompiledMatch,
    MatchGroup,
    OptionGroup,
    Truth,
    opaque,
    option,
    spelled,
    value,
    weighed,
    without_sets,
)
from simulator.matches.basic import BITS, masked
from simulator.matches.breakpoints import REMEMBERS
from simulator.matches.formula import MORE_THAN_THE_PACKET
from simulator.packets import Address, Packet, protocol_names

_UNITS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BURST = 5

_FRESH = "counts from nothing, as just loaded"


@dataclass(slots=True)
class _Bucket:
    """Token bucket: tokens left at a time; ``time`` is None until a packet carries one."""

    tokens: float
    time: float | None = None

    def take(self, now: float | None, every: float, most: float) -> bool:
        """Take a token if there is one.

        One token is added every ``every`` seconds, up to ``most``.
        """
        if now is not None and self.time is not None:
            self.tokens = min(most, self.tokens + max(0.0, now - self.time) / every)
        self.time = self.time if now is None else now
        taken = self.tokens >= 1
        self.tokens -= taken
        return taken


def seconds_per_packet(text: str) -> float:
    """Parse a rate such as ``10/min``, and return the seconds per packet.

    Raises:
        ValueError: the text has another form, or is a rate of bytes.
    """
    number, slash, unit = text.partition("/")
    if slash and unit[:1] not in _UNITS:
        raise ValueError(text)
    return _UNITS[unit[:1] or "s"] / max(1, protocol_names.number(number, 10**6))


def _limit(group: OptionGroup, _family: Family) -> CompiledMatch:
    every = seconds_per_packet(value(group, "limit", "3/hour"))
    burst = protocol_names.number(value(group, "limit-burst", str(_BURST)), 10_000)
    key = object()

    def weigh(packet: Packet, around: PacketContext) -> Truth:
        return around.memory.cell(key, _Bucket(burst)).take(packet.time, every, burst)

    return weighed(group, weigh, assumed=_FRESH)


_MODES: Mapping[str, Callable[[Packet, int, int], Hashable]] = {
    "srcip": lambda packet, src_mask, _dst_mask: int(packet.src) & src_mask,
    "dstip": lambda packet, _src_mask, dst_mask: int(packet.dst) & dst_mask,
    "srcport": lambda packet, _src_mask, _dst_mask: packet.sport,
    "dstport": lambda packet, _src_mask, _dst_mask: packet.dport,
}


def _hashlimit(group: OptionGroup, family: Family) -> CompiledMatch:
    rate = option(group, "hashlimit-upto") or option(group, "hashlimit-above") or option(group, "hashlimit")
    if rate is None or any(match.option.startswith("hashlimit-rate") for match in group):
        return opaque(*group)
    above = (rate.option == "hashlimit-above") is not rate.negated
    every = seconds_per_packet(rate.values[0])
    burst = protocol_names.number(value(group, "hashlimit-burst", str(_BURST)), 10_000)
    modes = [_MODES[mode] for mode in value(group, "hashlimit-mode", "").split(",") if mode]
    src_mask, dst_mask = (_prefix(value(group, f"hashlimit-{side}mask", ""), family) for side in ("src", "dst"))
    name = value(group, "hashlimit-name", "")

    def weigh(packet: Packet, around: PacketContext) -> Truth:
        key = ("hashlimit", family, name, *(mode(packet, src_mask, dst_mask) for mode in modes))
        return around.memory.cell(key, _Bucket(burst)).take(packet.time, every, burst) is not above

    return weighed(group, weigh, assumed=_FRESH)


def _prefix(text: str, family: Family) -> int:
    bits = BITS[family]
    length = protocol_names.number(text, bits) if text else bits
    return (1 << bits) - (1 << bits - length)


def _quota(group: OptionGroup, _family: Family) -> CompiledMatch:
    """Return the check for bytes left.

    The first packet that is larger than the rest uses up the rest, so that no smaller packet matches after it.
    """
    asked = option(group, "quota")
    if asked is None:
        raise ValueError(spelled(*group))
    whole, key = protocol_names.number(asked.values[0], 2**64 - 1), object()

    def weigh(packet: Packet, around: PacketContext) -> Truth:
        if packet.length is None:
            return None
        left = around.memory.cell(key, [whole])
        within = left[0] >= packet.length
        left[0] = left[0] - packet.length if within else 0
        return within is not asked.negated

    return weighed(group, weigh, "needs the length, which the packet does not give", _FRESH)


def _statistic(group: OptionGroup, _family: Family) -> CompiledMatch:
    """Return the check for every n-th packet, the first being number ``--packet`` from 0; random choice is unknown."""
    if value(group, "mode", "") != "nth":
        return _chance(group)
    every = option(group, "every")
    if every is None:
        raise ValueError(spelled(*group))
    last = protocol_names.number(every.values[0], 2**31 - 1) - 1
    first, key = protocol_names.number(value(group, "packet", "0"), 2**31 - 1), object()

    def weigh(_packet: Packet, around: PacketContext) -> Truth:
        count = around.memory.cell(key, [last - first])  # the tool passes this start value; the kernel ignores --packet
        count[0] = 0 if count[0] == last else count[0] + 1
        return (count[0] == 0) is not every.negated

    return weighed(group, weigh, assumed=_FRESH)


def _chance(group: OptionGroup) -> CompiledMatch:
    asked = option(group, "probability")
    share = float(asked.values[0]) if asked else -1.0
    certain = {0.0: False, 1.0: True}.get(share)
    if asked is None or certain is None:
        return opaque(*group, why="is left to chance")
    return CompiledMatch(spelled(*group), lambda _packet: certain is not asked.negated, "")


@dataclass(slots=True)
class _Seen:
    """Address in a list of ``recent``: its last hop limit, and the times it was seen, the oldest first."""

    ttl: int
    stamps: list[float | None] = field(default_factory=list)


def _recent(group: OptionGroup, family: Family) -> CompiledMatch:
    """Return the check on lists of addresses, which rules share by name."""
    asked = next(match for match in group if match.option in {"set", "rcheck", "update", "remove"})
    seconds, hits = (int(value(group, name, "0")) for name in ("seconds", "hitcount"))
    listed = ("recent", family, value(group, "name", "DEFAULT"))
    side: Callable[[Packet], Address] = lambda packet: packet.dst if option(group, "rdest") else packet.src  # noqa: E731
    mask = masked(
        f"{ip_address(0) if family is Family.IPV4 else '::'}/{value(group, 'mask', str(BITS[family]))}", family
    )
    same_ttl = option(group, "rttl") is not None and asked.option in {"rcheck", "update"}

    def weigh(packet: Packet, around: PacketContext) -> Truth:
        seen = around.memory.cell(listed, dict[int, _Seen]())
        address = int(side(packet)) & mask[1]
        entry = seen.get(address)
        if entry is not None and same_ttl and entry.ttl != packet.ttl:
            entry = None
        held = asked.option == "set" or (
            entry is not None and (asked.option == "remove" or _often(entry, packet.time, seconds, hits))
        )
        if asked.option == "remove":
            seen.pop(address, None)
        elif asked.option == "set" or (asked.option == "update" and held is not asked.negated and entry):
            entry = seen.setdefault(address, _Seen(packet.ttl))
            entry.ttl = packet.ttl
            entry.stamps.append(packet.time)
            del entry.stamps[: -max(hits, _STAMPS)]
        return held is not asked.negated

    return weighed(group, weigh, assumed="looks into a list that is empty at first, as just loaded")


_STAMPS = 256


def _often(entry: _Seen, now: float | None, seconds: int, hits: int) -> bool:
    recent = [at for at in entry.stamps if not seconds or now is None or at is None or now - at <= seconds]
    return len(recent) >= max(1, hits)


_DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
_DAY = 86400


def _time(group: OptionGroup, _family: Family) -> CompiledMatch:
    """Return the check on the packet's time in UTC; a time of day that ends before it starts spans midnight."""
    if option(group, "kerneltz") is not None or option(group, "localtz") is not None:
        return opaque(*group, why="depends on the node's time zone")
    start, stop = (_seconds(value(group, name, default)) for name, default in _TIMES)
    dates = [_moment(value(group, name, default)) for name, default in _DATES]
    weekdays, monthdays = _numbered(group, "weekdays", _DAYS, 8), _numbered(group, "monthdays", [], 32)
    contiguous = option(group, "contiguous") is not None

    def weigh(packet: Packet, _around: PacketContext) -> Truth:
        if packet.time is None:
            return None
        now = int(packet.time)
        if not dates[0] <= now <= dates[1]:
            return False
        clock = now % _DAY
        if start < stop:
            if not start <= clock <= stop:
                return False
        elif stop < clock < start:
            return False
        day = now - _DAY if contiguous and start > stop and clock < stop else now
        when = datetime.fromtimestamp(day, UTC)
        return when.isoweekday() in weekdays and when.day in monthdays

    return weighed(group, weigh, "depends on the clock, and the packet tells no time")


_TIMES = (("timestart", "00:00:00"), ("timestop", "23:59:59"))
_DATES = (("datestart", "1970-01-01T00:00:00"), ("datestop", "2038-01-19T03:14:07"))


def _seconds(text: str) -> int:
    hours, minutes, *rest = (int(part) for part in text.split(":"))
    return hours * 3600 + minutes * 60 + sum(rest)


def _moment(text: str) -> int:
    day, _, clock = text.partition("T")
    begun = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    return int(begun.timestamp()) + (_seconds(clock) if clock else 0)


def _numbered(group: OptionGroup, name: str, words: list[str], end: int) -> frozenset[int]:
    """Return the days of a list, by number or name; all days without a list."""
    asked = option(group, name)
    if asked is None:
        return frozenset(range(1, end))
    found = frozenset(words.index(word) + 1 if word in words else int(word) for word in asked.values[0].split(","))
    return frozenset(range(1, end)) - found if asked.negated else found


def _counting(evaluate: Callable[[OptionGroup, Family], CompiledMatch]) -> MatchGroup:
    return MatchGroup(
        evaluate=without_sets(evaluate), breakpoints=REMEMBERS, condition=MORE_THAN_THE_PACKET, per_rule=True
    )


GROUPS: Mapping[str, MatchGroup] = {
    "limit": _counting(_limit),
    "hashlimit": _counting(_hashlimit),
    "quota": _counting(_quota),
    "statistic": _counting(_statistic),
    "recent": _counting(_recent),
    "time": _counting(_time),
}
