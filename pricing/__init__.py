"""The price catalog and exact arithmetic; knows nothing of spans."""
