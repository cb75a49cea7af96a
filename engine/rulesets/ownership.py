"""What nodewall calls the things it owns in a kernel, and how it knows them again.

Names derive from content: a chain from its hook, a set from the rule it serves, a comment from policy and rule.
"""

import hashlib
from collections.abc import Sequence
from urllib.parse import quote, unquote

CHAIN_PREFIX = "NW-"
SET_PREFIX = "nw-"

_COMMENT = "nodewall"
_MERGED = "merged:"  # which no policy's name can begin with
_COMMENT_BYTES = 255  # what xt_comment holds, without its closing NUL, and the comment of a set's member
_SAFE = "".join(map(chr, range(0x20, 0x7F))).replace('"', "").replace("%", "")


def digest(*parts: str, digits: int = 16) -> str:
    """Return the first hexadecimal digits of the SHA-256 of the parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:digits]


def comment_of(policy: str = "", rule: str = "") -> str:
    """Return the comment of a kernel rule, plain ``nodewall`` for one that serves no policy.

    A policy's name that leaves no room for the rule's is cut and marked by a hash.
    """
    if not policy:
        return _COMMENT
    text = f"{_COMMENT} {policy}/{rule}"
    if len(text) <= _COMMENT_BYTES:
        return text
    mark = f"~{digest(policy, digits=8)}"
    room = _COMMENT_BYTES - len(f"{_COMMENT} {mark}/{rule}")
    return f"{_COMMENT} {policy[:room]}{mark}/{rule}"


def merged_comment(comments: Sequence[str]) -> str:
    """Return the comment of a kernel rule that serves all rules of policies which some comments name.

    It has a hash of them all, and of their names as many as there is room for.
    """
    names = [each.removeprefix(f"{_COMMENT} ") for each in comments]
    text = f"{_COMMENT} {_MERGED}{digest(*names)} {len(names)} rules:"
    for name in names:
        if len(text) + 1 + len(name) + 2 > _COMMENT_BYTES:
            return f"{text} ~"
        text += f" {name}"
    return text


def member_comment(comment: str) -> str:
    """Return the comment of a rule as that of a set's member, for which ipset knows no escapes.

    One that does not fit then names nobody.
    """
    text = quote(comment, safe=_SAFE)
    return text if len(text) <= _COMMENT_BYTES else _COMMENT


def owner_of_member(comment: str) -> tuple[str, str] | None:
    """Return the policy and the rule that the comment of a set's member names, or None where it names none."""
    return owner_of(unquote(comment))


def is_merged(comment: str) -> bool:
    """Return whether a kernel rule with this comment serves several rules of policies."""
    return comment.startswith(f"{_COMMENT} {_MERGED}")


def owner_of(comment: str) -> tuple[str, str] | None:
    """Return the policy and the rule that a comment names, or None where it names none.

    A policy's name has no slash, a rule's may.
    """
    word, _, owner = comment.partition(" ")
    policy, _, rule = owner.partition("/")
    named = word == _COMMENT and policy and rule and not policy.startswith(_MERGED)
    return (policy, rule) if named else None
