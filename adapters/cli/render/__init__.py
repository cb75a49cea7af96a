"""Renders values of the engine and the simulator as JSON and text, as the command line reference says."""
