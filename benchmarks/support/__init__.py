"""Clusters, load and timing that the benchmarks share."""
