"""Sandboxes: programs of others, shut in."""
