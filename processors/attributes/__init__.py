"""`attributes`: inserts, updates and deletes attributes of spans."""
