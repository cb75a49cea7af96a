"""Commands of nodewall, one module each, in the groups of ``nodewall --help``."""
