"""OTLP documents to spans and back."""
