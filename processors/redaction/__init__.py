"""`redaction`: removes or masks attributes, and fails closed."""
