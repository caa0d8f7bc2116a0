"""`otlp_http`: OTLP over HTTP, on the official exporter."""
