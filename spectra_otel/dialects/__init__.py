"""What other instrumentations write on their spans, one module per family, each a table."""
