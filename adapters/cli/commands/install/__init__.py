"""Commands that print what an installation needs, and the demo."""
