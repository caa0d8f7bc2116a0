"""`batch`: requests that are forwarded go out together."""
