"""The one database: connections, tables, and the embedded server."""
