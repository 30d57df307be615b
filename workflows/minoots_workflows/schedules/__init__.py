"""Schedules as workflows: timers that recur."""
