"""Scratch networks of network namespaces, and packets injected into them."""
