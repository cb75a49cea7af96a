"""Commands that run until stopped: agent, controller, webhook; and the support bundle."""
