"""MCP servers of agents: what they offer, and calls of it."""
