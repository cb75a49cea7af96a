"""Names and comments of the kernel objects that nodewall owns, and the parser that maps comments back to policy rules.

Names derive from content: a chain from its hook, a set from its rule, a comment from policy and rule. Chains start with
``NW-``, sets with ``nw-``. `comment_of` builds a comment, `owner_of` parses it. Limits: 255 bytes per comment, as in
the kernel's xt_comment and in ipset(8).
"""

import hashlib
from collections.abc import Sequence
from urllib.parse import quote, unquote

CHAIN_PREFIX = "NW-"
SET_PREFIX = "nw-"

_COMMENT = "nodewall"
_MERGED = "merged:"  # no policy name can start with it
_COMMENT_BYTES = 255  # limit of xt_comment (without NUL) and of member comments
_SAFE = "".join(map(chr, range(0x20, 0x7F))).replace('"', "").replace("%", "")


def digest(*parts: str, digits: int = 16) -> str:
    """Return the first hexadecimal digits of the SHA-256 of the parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:digits]


def comment_of(policy: str = "", rule: str = "") -> str:
    """Return the comment of a kernel rule; plain ``nodewall`` if it belongs to no policy.

    A policy name that is too long is cut and marked with a hash.
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
    """Return the comment of a kernel rule that serves several policy rules.

    It has a hash of all their names, and as many names as fit.
    """
    names = [each.removeprefix(f"{_COMMENT} ") for each in comments]
    text = f"{_COMMENT} {_MERGED}{digest(*names)} {len(names)} rules:"
    for name in names:
        if len(text) + 1 + len(name) + 2 > _COMMENT_BYTES:
            return f"{text} ~"
        text += f" {name}"
    return text


def member_comment(comment: str) -> str:
    """Return a rule's comment as a set member's comment, percent-encoded because ipset has no escapes.

    A comment that is too long becomes plain ``nodewall``.
    """
    text = quote(comment, safe=_SAFE)
    return text if len(text) <= _COMMENT_BYTES else _COMMENT


def owner_of_member(comment: str) -> tuple[str, str] | None:
    """Return (policy, rule) from the comment of a set member, or None."""
    return owner_of(unquote(comment))


def is_merged(comment: str) -> bool:
    """Return whether a kernel rule with this comment serves several policy rules."""
    return comment.startswith(f"{_COMMENT} {_MERGED}")


def owner_of(comment: str) -> tuple[str, str] | None:
    """Return (policy, rule) from a comment, or None.

    Policy names have no slash; rule names may have one.
    """
    word, _, owner = comment.partition(" ")
    policy, _, rule = owner.partition("/")
    named = word == _COMMENT and policy and rule and not policy.startswith(_MERGED)
    return (policy, rule) if named else None
