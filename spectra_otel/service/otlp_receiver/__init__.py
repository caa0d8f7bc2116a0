"""The `otlp` receiver."""
