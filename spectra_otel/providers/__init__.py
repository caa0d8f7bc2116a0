"""Wire formats of the providers, one module per provider, each a table."""
