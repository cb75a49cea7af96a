"""Policy resolution: from cluster state to the ordered rules of one Node."""
