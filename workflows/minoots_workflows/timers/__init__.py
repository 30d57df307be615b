"""Timers as workflows."""
