"""Commands of ``nodewall``, mostly one module per command.

``ask`` answers questions about rules, ``prove`` checks them, ``apply`` changes a Node. ``record`` writes event logs,
``run`` has the services, such as the agent, and ``install`` prints manifests and configuration.
"""
