"""Use cases shared by the commands and the agent."""
