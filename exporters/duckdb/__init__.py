"""`duckdb`: a durable spool and one DuckDB file to query."""
