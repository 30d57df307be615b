"""Heartbeats as workflows: silence begins a ladder."""
