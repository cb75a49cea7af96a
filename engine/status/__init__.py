"""Status of policies on one node and in the cluster, reports of nodes, and the check of recorded outcomes by replay."""
