"""Rulesets as values: model, text, differences, plans and intermediate states."""
