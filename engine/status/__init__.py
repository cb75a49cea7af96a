"""Status of policies per node and per cluster, node reports, and the replay check of recorded outcomes."""
