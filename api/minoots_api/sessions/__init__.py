"""Captured sessions, recordings of them, and the hosts that capture."""
