"""`cost`: prices a record from the catalog."""
