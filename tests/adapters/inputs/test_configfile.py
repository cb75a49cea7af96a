"""A configuration is what file and environment say over what was known, each value with its origin, or all faults."""

from pathlib import Path

import pytest

from adapters.cli import main
from adapters.inputs.configfile import DEFAULT, LOG, keys, load
from engine.errors import Refused
from engine.objects.config import DEFAULT_CONFIGURATION, DEFAULT_RULES, Configuration
from engine.rulesets.model import Family

CONFIG = """\
interfaces: [eth*]
logging:
  target: kernel
privilegedRules:
  mode: Extend
  rules:
  - {name: bastion, direction: Ingress, action: Allow, from: [{ipBlock: {cidr: 10.0.0.0/24}}]}
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A sound configuration file."""
    (tmp_path / "nodewall.yaml").write_text(CONFIG)
    return str(tmp_path / "nodewall.yaml")


def faults(tmp_path: Path, text: str, **environment: str) -> list[str]:
    """Return the faults of a configuration, without the folder it is in."""
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(Refused) as refused:
        load(str(tmp_path / "bad.yaml"), environment)
    return [line.removeprefix(f"{tmp_path}/") for line in refused.value.lines]


def test_nothing_given_is_the_defaults() -> None:
    """Without file and environment every value is its default."""
    loaded = load(None, {})
    assert loaded.config == DEFAULT_CONFIGURATION
    assert set(loaded.origins.values()) == {DEFAULT}


def test_a_file_tells_the_line_of_each_value(path: str) -> None:
    """What a file says is taken, with its line as origin; the rest are defaults."""
    loaded = load(path, {})
    assert loaded.config.interfaces == ("eth*",)
    assert loaded.config.logging.target == "kernel"
    assert loaded.origins["logging.target"] == f"{path}:3"
    assert loaded.origins["logging.rate"] == DEFAULT
    assert [rule.name for rule in loaded.config.effective_rules()][-1] == "bastion"


def test_the_environment_goes_before_the_file_and_the_file_before_the_log(path: str) -> None:
    """The environment goes before the file, the file before the log, the log before the defaults."""
    known = Configuration.model_validate({"logging": {"target": "nflog", "burst": 9}, "jumpPosition": "Last"})
    loaded = load(path, {"NODEWALL_INTERFACES": "ens160, bond0"}, known)
    assert loaded.config.interfaces == ("ens160", "bond0")
    assert (loaded.config.logging.target, loaded.config.logging.burst) == ("kernel", 9)
    assert loaded.config.jump_position == "Last"
    assert [loaded.origins[key] for key in ("interfaces", "logging.target", "logging.burst", "backend")] == [
        "environment NODEWALL_INTERFACES",
        f"{path}:3",
        LOG,
        DEFAULT,
    ]


@pytest.mark.parametrize(
    "variable, text, path, expected",
    [
        ("NODEWALL_FEATURE_GATES__NODE_NETWORK_POLICY", "false", ("feature_gates", "node_network_policy"), False),
        ("NODEWALL_INTERFACES", "[eth0, 'en*']", ("interfaces",), ("eth0", "en*")),
        ("NODEWALL_PRIVILEGED_RULES__MODE", "Replace", ("privileged_rules", "mode"), "Replace"),
        ("NODEWALL_RESOLVERS", "10.0.0.53,fd00::53", ("resolvers",), ("10.0.0.53", "fd00::53")),
        ("NODEWALL_RESOLVERS", "", ("resolvers",), ()),
        ("NODEWALL_JUMP_POSITION", "Last", ("jump_position",), "Last"),
        ("NODEWALL_ALLOW_ACTION", "Return", ("allow_action",), "Return"),
        ("NODEWALL_LAYOUT", "Optimised", ("layout",), "Optimised"),
        ("NODEWALL_ENFORCE_ESTABLISHED", "true", ("enforce_established",), True),
        ("NODEWALL_LOGGING__RATE", "5/minute", ("logging", "rate"), "5/minute"),
        ("NODEWALL_LOGGING__BURST", "7", ("logging", "burst"), 7),
        ("NODEWALL_BACKEND", "legacy", ("backend",), "legacy"),
        ("NODEWALL_FAMILIES", "IPv6", ("families",), (Family.IPV6,)),
    ],
)
def test_every_key_has_a_variable(variable: str, text: str, path: tuple[str, ...], expected: object) -> None:
    """Every key can be given by its environment variable."""
    value: object = load(None, {variable: text}).config
    for part in path:
        value = getattr(value, part)
    assert value == expected


def test_the_variables_are_those_of_the_keys() -> None:
    """Names of variables are the keys' words in capitals, and no two are the same."""
    variables = [key.variable for key in keys()]
    assert "NODEWALL_PRIVILEGED_RULES__RULES" in variables
    assert "NODEWALL_LOGGING__GROUP" in variables
    assert len(set(variables)) == len(variables)


def test_every_fault_is_found_at_once_at_its_line(tmp_path: Path) -> None:
    """Every fault of a file is found at once, with line, column and path."""
    text = "jumpPosition: Middle\nlogging: {rate: 600/second, colour: red}\ninterfaces: [a/b]\nfamilies: []\n"
    assert faults(tmp_path, text) == [
        (
            'bad.yaml:3:14: document 1: interfaces[0]: found "a/b"; '
            "expected a name or a glob of interfaces, such as eth* or ens160"
        ),
        "bad.yaml:1:1: document 1: jumpPosition: found \"Middle\"; expected one of 'First' or 'Last'",
        (
            'bad.yaml:2:11: document 1: logging.rate: found "600/second", which the kernel would round; '
            "expected 625/second, or another that it keeps"
        ),
        (
            "bad.yaml:2:29: document 1: logging.colour: unknown field; "
            "expected only fields that nodewall knows; check spelling and indentation"
        ),
        "bad.yaml:4:1: document 1: families: found []; expected at least 1 entry",
    ]


def test_a_fault_of_the_environment_names_its_variable(tmp_path: Path) -> None:
    """A fault of a value from the environment names the variable."""
    (fault,) = faults(tmp_path, "", NODEWALL_LOGGING__TARGET="paper")
    assert fault.startswith('NODEWALL_LOGGING__TARGET: logging.target: found "paper"')


@pytest.mark.parametrize("text", ["- a\n", "a: 1\n---\nb: 2\n", "jump_position: Last\n", "a: {\n", "a: 1\na: 2\n"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    """Lists, several documents, Python's names, bad YAML and keys given twice are refused."""
    assert faults(tmp_path, text)


def test_names_of_default_rules_are_taken(tmp_path: Path) -> None:
    """A rule that extends the defaults cannot bear the name of one; one that replaces them can."""
    rule = "rules: [{name: dns-out, direction: Egress, action: Allow}]"
    (fault,) = faults(tmp_path, f"privilegedRules: {{mode: Extend, {rule}}}")
    assert 'privilegedRules.rules[0].name: found "dns-out", which is taken' in fault
    (tmp_path / "good.yaml").write_text(f"privilegedRules: {{mode: Replace, {rule}}}")
    assert len(load(str(tmp_path / "good.yaml"), {}).config.effective_rules()) == 1


def test_show_prints_values_with_their_origins(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``config show`` prints YAML that is a configuration again, origins as comments, and every rule in force."""
    assert main(["config", "show", "-c", path]) == 0
    out = capsys.readouterr().out
    assert f"  target: kernel  # {path}:3\n" in out
    assert out.count("#   - {name: ") == len(DEFAULT_RULES) + 1
    again = Path(path).with_name("again.yaml")
    again.write_text(out)
    assert load(str(again), {}).config == load(path, {}).config


def test_check_says_sound_or_why_not(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``config check`` exits with 0 and says sound, or with 2 and all faults of all files."""
    assert main(["config", "check", path]) == 0
    (tmp_path / "bad.yaml").write_text("backend: nftables\nnonsense: 1\n")
    assert main(["config", "check", path, str(tmp_path / "bad.yaml"), str(tmp_path / "none.yaml")]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 3
    assert "none.yaml: No such file or directory" in err
