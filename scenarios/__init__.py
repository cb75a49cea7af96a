"""Example scenarios for tests and demos: manifests of a cluster, packets, and the verdicts expected for them.

Each folder here is one scenario. :mod:`scenarios.case` defines the format of its files; :mod:`scenarios.run` runs it in
the simulator.
"""
