"""`file`: OTLP JSON lines."""
