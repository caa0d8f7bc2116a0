"""The `basicauth` extension."""
