"""Commands that run until a signal: agent, controller, webhook; and the support bundle."""
