"""MCP servers as tools of the teams: what is declared, whom it is granted to, and how it is called."""
