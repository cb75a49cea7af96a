"""Renders results of the engine and the simulator as JSON and text, for the commands.

``output`` writes the chosen format to stdout. Each other module renders one kind of result, such as ``changes``
(verdict changes), ``proofs``, ``findings`` (of the linter) or ``events``.
"""
