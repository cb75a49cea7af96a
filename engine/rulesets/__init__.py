"""Rulesets as values: model, text formats, diff, plan, intermediate states and digest."""
