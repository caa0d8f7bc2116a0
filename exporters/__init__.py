"""Exporters: one folder each."""
