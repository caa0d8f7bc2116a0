"""`filter`: drops spans by conditions."""
