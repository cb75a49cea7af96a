"""Use cases about the past: steps of a history, timeline, replay check and blame."""
