"""Commands of nodewall, one module each, in groups as ``--help`` lists them."""
