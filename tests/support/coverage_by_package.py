"""Prints the test coverage of each package: ``python -m tests.support.coverage_by_package COVERAGE.json``.

Input is the report of ``coverage json``; a package is a folder of the first two levels.
"""

import json
import sys
from collections import Counter
from pathlib import Path


def by_package(report: Path) -> dict[str, tuple[int, int]]:
    """Return the numbers of covered and of all statements, by package."""
    run, there = Counter[str](), Counter[str]()
    for name, found in json.loads(report.read_text(encoding="utf-8"))["files"].items():
        summary = found["summary"]
        for package in ("/".join(Path(name).parent.parts[:2]), "total"):
            run[package] += summary["covered_lines"]
            there[package] += summary["num_statements"]
    return {
        package: (run[package], there[package]) for package in sorted(there, key=lambda each: (each == "total", each))
    }


def main(report: str) -> None:
    """Print a line for each package."""
    for package, (run, there) in by_package(Path(report)).items():
        sys.stdout.write(f"{package:28} {there:6} statements {100 * run / max(there, 1):6.1f} %\n")


if __name__ == "__main__":
    main(sys.argv[1])
