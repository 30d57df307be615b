"""Walking through dead letters."""
