"""Event logs in SQLite files, in memory and as JSON Lines, with signatures, compaction and snapshots."""
