"""The agent of one Node, with its parts: drift check, commit-confirm, kill switch, node lock, support bundle."""
