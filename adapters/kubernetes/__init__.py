"""A cluster's API server as a source of events: lists and watches the kinds that rules hang on, and records changes."""
