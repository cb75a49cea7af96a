"""Plain values that commands print can be written in every form of output."""

import json

import yaml

from adapters.cli.commands.apply.plan import proposal_as_json
from adapters.cli.render.plans import ops_as_json
from engine.reconcile.reconciler import Proposal
from engine.rulesets.model import Ruleset
from engine.rulesets.plan import Plan, Tool
from engine.rulesets.text.operations import Op


def test_operations_can_be_yaml() -> None:
    """The tool is plain text, as JSON has it."""
    found = ops_as_json([Op(Tool.IPSET, "add", "nw-4-a", "10.0.0.1")])
    assert yaml.safe_load(yaml.safe_dump(found)) == json.loads(json.dumps(found))
    assert found == [{"tool": "ipset", "op": "add", "object": "nw-4-a", "detail": "10.0.0.1"}]


def test_plan_can_be_yaml() -> None:
    """The method of a proof is plain text too, as JSON has it."""
    found = proposal_as_json(Proposal(Ruleset(), Ruleset(), Plan(())), None)
    assert yaml.safe_load(yaml.safe_dump(found)) == json.loads(json.dumps(found))
