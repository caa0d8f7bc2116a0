"""The vocabulary in one place: the record, its fields, and how it rides on a span."""
