"""`otlp_grpc`: OTLP over gRPC, on the official exporter."""
