"""`zipkin`: Zipkin JSON, on the official exporter."""
