"""Commands that run as services (agent, controller and webhook), and support-bundle, which collects diagnostic data."""
