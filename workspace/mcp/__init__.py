"""The workspace as an MCP server: sandboxes on the projects, for an IDE or an assistant outside."""
