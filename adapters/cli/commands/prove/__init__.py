"""Commands that prove or check: invariants, lint, all Nodes, scenarios."""
