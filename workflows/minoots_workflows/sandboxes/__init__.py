"""Sandboxes that stand, as workflows: opened, held, closed for certain."""
