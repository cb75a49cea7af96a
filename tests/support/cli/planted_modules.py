"""Modules planted where an unprotected child process would import them; they record when they run."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

_NAMES = ("sitecustomize", "usercustomize", "structlog", "pydantic", "click", "runpy")
_PACKAGES = ("adapters", "engine", "simulator", "multiprocessing", "concurrent")


@dataclass(frozen=True)
class Planted:
    """Folder of modules that have names of nodewall's and the standard library's modules."""

    folder: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Write the modules; each one appends its name to a file."""
        for name in (*_NAMES, *(f"{each}/__init__" for each in _PACKAGES), "adapters/rollback", "adapters/cli"):
            path = self.folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"open({str(self._told)!r}, 'a').write({name!r} + chr(10))\n")
        found = {"PYTHONPATH": str(self.folder), "PYTHONSTARTUP": str(self.folder / "structlog.py")}
        object.__setattr__(self, "environment", {**found, "PYTHONUSERBASE": str(self.folder)})
        users = self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        users.mkdir(parents=True)
        (users / "planted.pth").write_text(f"import os; open({str(self._told)!r}, 'a').write('pth' + chr(10))\n")

    @property
    def _told(self) -> Path:
        return self.folder.with_suffix(".ran")

    def ran(self) -> list[str]:
        """Return the names of the modules that ran, in order."""
        return self._told.read_text().splitlines() if self._told.exists() else []
