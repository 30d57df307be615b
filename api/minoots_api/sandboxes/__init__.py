"""Sandboxes that stand, over HTTP."""
