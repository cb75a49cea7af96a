"""Commands that plan or change the rules of a Node: plan, apply, confirm, rollback and remove."""
