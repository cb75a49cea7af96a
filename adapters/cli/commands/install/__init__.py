"""Commands that install and configure nodewall: manifests, crds, config; and the demo."""
