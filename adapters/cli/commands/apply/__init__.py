"""Commands that change a Node: plan, apply, confirm, roll back, remove."""
