"""What nodewall calls the things it owns in a kernel, and how it knows them again.

Names derive from content: a chain from its hook, a set from the rule it serves, a comment from policy and rule.
"""

import hashlib

CHAIN_PREFIX = "NW-"
SET_PREFIX = "nw-"

_COMMENT = "nodewall"
_COMMENT_BYTES = 255  # what xt_comment holds, without its closing NUL


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


def owner_of(comment: str) -> tuple[str, str] | None:
    """Return the policy and the rule that a comment names, or None where it names none.

    A policy's name has no slash, a rule's may.
    """
    word, _, owner = comment.partition(" ")
    policy, _, rule = owner.partition("/")
    return (policy, rule) if word == _COMMENT and policy and rule else None
