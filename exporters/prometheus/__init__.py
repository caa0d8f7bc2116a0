"""`prometheus`: records as metrics, for a Prometheus to scrape."""
