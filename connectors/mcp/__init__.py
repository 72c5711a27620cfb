"""MCP servers as connectors: every tool of a server is an action."""
