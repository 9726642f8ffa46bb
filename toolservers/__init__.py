"""MCP servers that come with the harness and know nothing of it.

Each package has `create`, which makes the server for use inside a process, and runs over stdio as
`python -m toolservers.<name>`.
"""
