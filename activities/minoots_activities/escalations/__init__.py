"""Escalations and heartbeats, on the records."""
