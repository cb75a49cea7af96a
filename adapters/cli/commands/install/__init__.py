"""Commands that print install manifests and the effective configuration, and the command that runs the demo."""
