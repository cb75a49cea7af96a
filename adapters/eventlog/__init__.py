"""Event logs in SQLite, in memory and as JSON Lines, with signatures and snapshots."""
