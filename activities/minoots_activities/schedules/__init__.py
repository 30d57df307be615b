"""Schedules, on the records."""
