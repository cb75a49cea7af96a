"""Runnable what-if scenarios: cluster manifests, packets and expected verdicts.

Each folder here is one scenario. :mod:`scenarios.case` defines its files, :mod:`scenarios.run` runs it.
"""
