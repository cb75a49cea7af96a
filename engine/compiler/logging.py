"""Builds the log targets, log prefixes and rate limits of rules with ``enableLogging``.

Input: `CompletedRule` and `LogTarget`. Output: `Target` (LOG or NFLOG), the prefix text, and the limit `Match` values
as iptables-save prints them. A prefix that is too long is cut and ends with a hash.

Sources: iptables-extensions(8), LOG, NFLOG and limit; ``print_rate`` in iptables' libxt_limit.c.
"""

from engine.compiler.options import LogTarget
from engine.objects.config import rate_of
from engine.policy.completed_rules import CompletedRule, Direction
from engine.rulesets.canonical.numbers import RATE_SCALE, rate_word
from engine.rulesets.model import Match, Target
from engine.rulesets.ownership import digest

_LOG_ROOM = 29  # characters of a LOG prefix
_NFLOG_ROOM = 63  # characters of an NFLOG prefix, without its closing NUL
_LETTERS = {Direction.INGRESS: "I", Direction.EGRESS: "O"}
_DEFAULT_BURST = 5


def log_target(rule: CompletedRule, log: LogTarget) -> Target:
    """Return the target that logs the packets of a rule."""
    prefix = log_prefix(rule, log)
    if log.kernel:
        return Target("LOG", (Match("", "log-prefix", (prefix,)),))
    group = (Match("", "nflog-group", (str(log.group),)),) if log.group else ()
    return Target("NFLOG", (Match("", "nflog-prefix", (prefix,)), *group))


def log_prefix(rule: CompletedRule, log: LogTarget) -> str:
    """Return the log prefix of a rule; a prefix that does not fit is cut and marked with a hash.

    LOG: ``nodewall:I:Drop:label:``. NFLOG: ``I:Drop:label:policy/rule``.
    """
    label = f"{rule.label}:" if rule.label else ""
    head = f"{_LETTERS[rule.direction]}:{rule.action}:"
    if log.kernel:
        return _fitting(f"nodewall:{head}", label, _LOG_ROOM, ":")
    return _fitting(head, f"{label}{rule.id}", _NFLOG_ROOM)


def label_is_cut(rule: CompletedRule, log: LogTarget) -> bool:
    """Return whether the label of a logged rule does not fit into its prefix."""
    return rule.logged and bool(rule.label) and f":{rule.label}:" not in log_prefix(rule, log)


def _fitting(head: str, rest: str, room: int, end: str = "") -> str:
    if len(head) + len(rest) <= room:
        return f"{head}{rest}"
    mark = f"~{digest(rest, digits=4 if end else 8)}{end}"
    return f"{head}{rest[: room - len(head) - len(mark)]}{mark}"


def limit_matches(log: LogTarget) -> tuple[Match, ...]:
    """Return the limit match that bounds the rate of log messages."""
    count, seconds = rate_of(log.rate)
    burst = () if log.burst == _DEFAULT_BURST else (Match("limit", "limit-burst", (str(log.burst),)),)
    return (Match("limit", "limit", (rate_word(RATE_SCALE * seconds // count),)), *burst)
