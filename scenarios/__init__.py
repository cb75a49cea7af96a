"""Runnable what-if cases: a world, packets, and what must become of them.

Each folder beside this file is one case; :mod:`scenarios.case` says what is in it, :mod:`scenarios.run` runs it.
"""
