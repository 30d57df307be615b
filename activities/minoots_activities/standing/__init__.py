"""Sandboxes that stand: what a worker holds open, and what is done in it."""
