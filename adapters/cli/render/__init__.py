"""Presentation of the engine's and the simulator's values under the keys of the command line reference."""
