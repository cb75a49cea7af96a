"""Texts that have broken parsers, shells and restore files before, and real manifests to put them in."""

from pathlib import Path

SCENARIOS = Path(__file__).parents[3] / "scenarios"

WORDS = (
    *(
        "\0",
        "\n",
        "\r\n",
        "\t",
        '"',
        "'",
        "`",
        "\\",
        "$(reboot)",
        "; reboot",
        "| reboot",
        "%s",
        "{}",
        "../../etc/passwd",
    ),
    *("-A INPUT -j DROP", "\n-A INPUT -j DROP\n", "COMMIT\n*nat", "-j", "--", "-", "--flush", "add nw-4-x 0.0.0.0/1"),
    *("\u202e", "\u2028", "\ufeff", "\u0000", "e\u0301", "\U0001f600", "\ud7ff", "é" * 300, "a" * 70, "a" * 300),
    *(
        "&a",
        "*a",
        "<<: *a",
        "!!python/object/apply:os.system",
        "!!binary",
        "? ",
        ": ",
        "- ",
        "---\n",
        "...\n",
        "%YAML 9.9",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        "[[[[[[[[",
        "{a: {a: {a: ",
        "|",
        ">",
        "#",
        ",",
        "~",
        "null",
        "yes",
        "0x11",
        "0o17",
        "1_000",
        "1e400",
    ),
    *(".inf", "-.nan", "99999999999999999999", "-1", "1.5", "65536", "256", "12:30", "2026-01-01", "true", "[]", "{}"),
    *(
        "::ffff:10.0.0.0/104",
        "fe80::%eth0/64",
        "10.0.0.1/8",
        "10.0.0.0/8/8",
        "010.0.0.0/8",
        "::/129",
        "0.0.0.0/0",
        "::/0",
    ),
    *(
        "224.0.0.1",
        "ff02::1",
        "300.0.0.1",
        "1.2.3",
        "10.0.0.0/255.0.0.0",
        "Pass",
        "igmp",
        "ClusterSet",
        "Self",
        "baseline",
    ),
)


def manifests() -> list[str]:
    """Return the texts of all scenario manifests, each with the common Nodes."""
    nodes = (SCENARIOS / "common/nodes.yaml").read_text(encoding="utf-8")
    found = sorted(path for path in SCENARIOS.glob("*/*.yaml") if path.name not in {"scenario.yaml", "nodewall.yaml"})
    return [f"{path.read_text(encoding='utf-8')}\n---\n{nodes}" for path in found]
