"""Renders results of the engine and the simulator as JSON and text, with the keys of the command line reference."""
