"""Kubernetes API access: client, list and watch, object cache, leader election, Events."""
