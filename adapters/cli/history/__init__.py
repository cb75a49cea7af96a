"""Renders the history of a Node: steps, timeline and HTML page."""
