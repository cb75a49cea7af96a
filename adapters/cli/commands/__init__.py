"""Commands of nodewall, one module each, in the groups that ``nodewall --help`` shows."""
