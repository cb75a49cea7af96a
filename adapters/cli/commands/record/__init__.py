"""Commands that write event logs: ``log`` and ``record``."""
