"""`debug`: prints spans."""
