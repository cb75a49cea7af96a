"""Fuzzes the road from manifests to restore lines, guided by coverage: ``python -m tests.fuzz.fuzz_manifests SECONDS``.

Source: https://github.com/google/atheris . An input that crashes, takes too long or injects a line is written to the
present directory and ends the run.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.policies.hostile_text import WORDS, manifests
from tests.support.seeds import SEED

SLOWEST = 1
"""Seconds that one input may take."""


def fuzz(seconds: str, folder: Path) -> None:
    """Fuzz for so many seconds, beginning with the manifests of the scenarios and with hostile words as a dictionary."""
    import atheris  # noqa: PLC0415 - it is not there on every machine

    with atheris.instrument_imports(include=["adapters", "engine"]):
        from tests.support.policies.manifest_pipeline import injected  # noqa: PLC0415 - instrumented as it is imported

    def one(data: bytes) -> None:
        if bad := injected(data.decode(errors="surrogateescape")):
            raise RuntimeError(f"injected: {bad}")

    corpus, dictionary = folder / "corpus", folder / "words"
    corpus.mkdir()
    for number, text in enumerate(manifests()):
        (corpus / str(number)).write_text(text, encoding="utf-8")
    escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in WORDS)
    dictionary.write_text("".join(f'"{word}"\n' for word in escaped), encoding="utf-8")
    limits = [f"-max_total_time={seconds}", f"-timeout={SLOWEST}", "-max_len=20000", f"-dict={dictionary}"]
    limits += [f"-seed={SEED}"] if SEED else []
    atheris.Setup([sys.argv[0], *limits, str(corpus)], one)
    atheris.Fuzz()


def main(seconds: str = "600") -> None:
    """Fuzz, where that can be done."""
    if find_spec("atheris") is None:
        sys.stderr.write("atheris has no wheel for this machine: hypothesis has fuzzed alone\n")
        return
    with TemporaryDirectory(prefix="nodewall-fuzz-") as folder:
        fuzz(seconds, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
