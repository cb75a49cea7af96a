"""Signatures, by which rewriting and truncation of a log are seen even if whoever did it can compute every hash.

Keys are Ed25519's, as openssl makes them: PKCS#8 and SubjectPublicKeyInfo in PEM (RFC 8410). The library is an extra.
"""

import base64
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from adapters.eventlog.checkpoints import Checkpoint
from engine.errors import Fault, Refused, shown
from engine.events import EventMark, canonical
from engine.events.outcomes import LogCompacted

_KEY = "an Ed25519 key in PEM, as openssl genpkey -algorithm ed25519 makes it"
_PUBLIC = "the public half of an Ed25519 key in PEM, as openssl pkey -pubout makes it"
_LONGEST = 1 << 12


def statement_of(body: LogCompacted) -> bytes:
    """Return what is signed of a compaction: all but the signature and fields that are absent."""
    said = body.model_dump(mode="json", exclude={"signature"}, exclude_none=True)
    return b"nodewall compaction\n" + canonical(said)


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key."""

    _key: Ed25519PrivateKey

    @classmethod
    def of(cls, path: str) -> "Signer":
        """Return the key in a file.

        Raises:
            Refused: it cannot be read or holds none, or others than its owner can read it.
        """
        key = _loaded(path, lambda text: form.load_pem_private_key(text, password=None), _KEY)
        if not isinstance(key, Ed25519PrivateKey):
            raise _other(path, _KEY)
        if Path(path).stat().st_mode & 0o077:
            raise Refused((Fault(path, "others can read or write the private key", f"chmod 600 {path}"),))
        return cls(key)

    @property
    def name(self) -> str:
        """What the key is known by."""
        return _name(self._key.public_key())

    def checkpoint(self, mark: EventMark, time: datetime) -> Checkpoint:
        """Return the signed statement that a log has an event."""
        unsigned = Checkpoint(sequence=mark.sequence, hash=mark.hash, time=time, key=self.name)
        return unsigned.model_copy(update={"signature": self._signed(unsigned.statement())})

    def compaction(self, body: LogCompacted) -> LogCompacted:
        """Return a compaction that is signed."""
        named = body.model_copy(update={"key": self.name})
        return named.model_copy(update={"signature": self._signed(statement_of(named))})

    def _signed(self, statement: bytes) -> str:
        return base64.b64encode(self._key.sign(statement)).decode()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key, by which signatures are judged."""

    _key: Ed25519PublicKey

    @classmethod
    def of(cls, path: str) -> "PublicKey":
        """Return the key in a file; raise ``Refused`` where it cannot be read or holds none."""
        key = _loaded(path, form.load_pem_public_key, _PUBLIC)
        if not isinstance(key, Ed25519PublicKey):
            raise _other(path, _PUBLIC)
        return cls(key)

    def checkpoint_fault(self, checkpoint: Checkpoint) -> str:
        """Return why a checkpoint is not to be trusted, nothing where it is."""
        return self._fault(checkpoint.statement(), checkpoint.key, checkpoint.signature)

    def compaction_fault(self, body: LogCompacted) -> str:
        """Return why a compaction is not to be trusted, nothing where it is."""
        return self._fault(statement_of(body), body.key, body.signature)

    def _fault(self, statement: bytes, key: str | None, signature: str | None) -> str:

        if signature is None:
            return "it is not signed"
        if key != _name(self._key):
            return f"it is signed by another key, {shown(key)}"
        try:
            self._key.verify(base64.b64decode(signature, validate=True), statement)
        except (InvalidSignature, ValueError):
            return "its signature is not that of the key"
        return ""


def _name(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def made(path: str) -> str:
    """Make a key in a file, and its public half in one that ends in ``.pub``; return what the key is known by.

    Raises:
        Refused: one of the files is there already, or cannot be made.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    for name, text, mode in ((path, private, 0o600), (f"{path}.pub", public, 0o644)):
        try:
            with os.fdopen(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode), "wb") as file:
                file.write(text)
        except OSError as error:
            raise Refused((Fault(name, str(error.strerror), "a file that can be made"),)) from None
    return _name(key.public_key())


def _loaded(path: str, load: Callable[[bytes], object], expected: str) -> object:
    """Return the key that a file holds; raise ``Refused`` where it holds none."""
    try:
        with Path(path).open("rb") as file:
            return load(file.read(_LONGEST))
    except OSError as error:
        raise Refused((Fault(path, str(error.strerror), expected),)) from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Refused((Fault(path, f"no key: {shown(str(error))}", expected),)) from None


def _other(path: str, expected: str) -> Refused:
    return Refused((Fault(path, "a key of another kind", expected),))
