"""Renders the history of a Node: changes by event, timeline, and HTML page."""
