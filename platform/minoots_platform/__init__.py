"""Minoots."""
