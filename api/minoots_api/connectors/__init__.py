"""Connectors over HTTP."""
