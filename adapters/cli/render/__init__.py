"""Rendering of results as text, JSON, YAML and HTML."""
