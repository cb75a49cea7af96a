"""Commands that answer questions about rules, packets, status and history."""
