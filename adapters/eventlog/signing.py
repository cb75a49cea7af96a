"""Ed25519 signatures on checkpoints and compactions of an event log.

The hash chain alone does not reveal a log that was rewritten or truncated with all hashes computed again; a signature
does. Input: key files in PEM as openssl writes them, PKCS#8 for private and SubjectPublicKeyInfo for public keys (RFC
8410). Output: a :class:`Signer` or a :class:`PublicKey`.

Raises ``Refused`` for a file that cannot be used as a key. Needs the optional dependency ``cryptography``.
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
from engine.errors import Fault, Refused, safe_text
from engine.events import EventMark, canonical
from engine.events.outcomes import LogCompacted

_KEY = "an Ed25519 key in PEM, as openssl genpkey -algorithm ed25519 makes it"
_PUBLIC = "the public half of an Ed25519 key in PEM, as openssl pkey -pubout makes it"
_LONGEST = 1 << 12


def statement_of(body: LogCompacted) -> bytes:
    """Return the bytes to sign for a compaction: all fields except the signature and absent fields."""
    said = body.model_dump(mode="json", exclude={"signature"}, exclude_none=True)
    return b"nodewall compaction\n" + canonical(said)


@dataclass(frozen=True, slots=True)
class Signer:
    """Ed25519 private key that signs checkpoints and compactions."""

    _key: Ed25519PrivateKey

    @classmethod
    def of(cls, path: str) -> "Signer":
        """Load the private key from a file.

        Raises:
            Refused: the file cannot be read, holds no Ed25519 key, or is accessible to other users than its owner.
        """
        key = _loaded(path, lambda text: form.load_pem_private_key(text, password=None), _KEY)
        if not isinstance(key, Ed25519PrivateKey):
            raise _other(path, _KEY)
        if Path(path).stat().st_mode & 0o077:
            raise Refused((Fault(path, "others can read or write the private key", f"chmod 600 {path}"),))
        return cls(key)

    @property
    def name(self) -> str:
        """Fingerprint: the first 16 hex digits of the SHA-256 of the public key."""
        return _name(self._key.public_key())

    def checkpoint(self, mark: EventMark, time: datetime) -> Checkpoint:
        """Return a signed checkpoint for an event of a log."""
        unsigned = Checkpoint(sequence=mark.sequence, hash=mark.hash, time=time, key=self.name)
        return unsigned.model_copy(update={"signature": self._signed(unsigned.statement())})

    def compaction(self, body: LogCompacted) -> LogCompacted:
        """Return the compaction with fingerprint and signature."""
        named = body.model_copy(update={"key": self.name})
        return named.model_copy(update={"signature": self._signed(statement_of(named))})

    def _signed(self, statement: bytes) -> str:
        return base64.b64encode(self._key.sign(statement)).decode()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Ed25519 public key that verifies checkpoints and compactions."""

    _key: Ed25519PublicKey

    @classmethod
    def of(cls, path: str) -> "PublicKey":
        """Load the public key from a file; raise ``Refused`` if it cannot be read or holds no Ed25519 key."""
        key = _loaded(path, form.load_pem_public_key, _PUBLIC)
        if not isinstance(key, Ed25519PublicKey):
            raise _other(path, _PUBLIC)
        return cls(key)

    def checkpoint_fault(self, checkpoint: Checkpoint) -> str:
        """Return the reason to reject a checkpoint, empty if its signature is valid."""
        return self._fault(checkpoint.statement(), checkpoint.key, checkpoint.signature)

    def compaction_fault(self, body: LogCompacted) -> str:
        """Return the reason to reject a compaction, empty if its signature is valid."""
        return self._fault(statement_of(body), body.key, body.signature)

    def _fault(self, statement: bytes, key: str | None, signature: str | None) -> str:

        if signature is None:
            return "it is not signed"
        if key != _name(self._key):
            return f"it is signed by another key, {safe_text(key)}"
        try:
            self._key.verify(base64.b64decode(signature, validate=True), statement)
        except (InvalidSignature, ValueError):
            return "its signature is not that of the key"
        return ""


def _name(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def made(path: str) -> str:
    """Generate a key pair in the files ``path`` and ``path.pub``, and return its fingerprint.

    Raises:
        Refused: one of the files exists already or cannot be created.
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
    """Load a key from a file; raise ``Refused`` if it holds none."""
    try:
        with Path(path).open("rb") as file:
            return load(file.read(_LONGEST))
    except OSError as error:
        raise Refused((Fault(path, str(error.strerror), expected),)) from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Refused((Fault(path, f"no key: {safe_text(str(error))}", expected),)) from None


def _other(path: str, expected: str) -> Refused:
    return Refused((Fault(path, "a key of another kind", expected),))
