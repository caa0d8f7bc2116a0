"""Hooks into HTTP clients: they see every call to a known provider."""
