"""Commands that print install manifests and configuration, and the demo."""
