"""The `otlpjsonfile` receiver."""
