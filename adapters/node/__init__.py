"""The agent of one Node, and its parts: drift check, commit-confirm, kill switch, node lock, support bundle and others."""
