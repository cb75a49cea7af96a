"""Commands that record events."""
