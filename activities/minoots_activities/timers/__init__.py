"""Firing timers."""
