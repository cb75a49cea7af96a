"""Use cases of nodewall, such as plan, apply, simulate and what-if, for the commands and the agent.

Input: option values, and often a :class:`~adapters.application.selection.Selection`, which loads the cluster state,
Node and rules that the options name. Output: plain values, which :mod:`adapters.cli` prints. The package ``past`` has
the use cases about the history in an event log.
"""
