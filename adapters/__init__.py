"""Adapters: everything that touches the outside world, one technology per package."""
