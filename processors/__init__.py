"""Processors: one folder each."""
