"""Use cases about a Node's history in an event log: history by event, timeline, replay check and blame."""
