"""Plans, on the records."""
