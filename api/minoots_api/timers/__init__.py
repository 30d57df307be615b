"""Timers over HTTP."""
