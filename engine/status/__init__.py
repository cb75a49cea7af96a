"""Status of policies per Node and per cluster."""
