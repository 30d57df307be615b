"""Escalations as workflows: somebody is told until somebody acknowledges."""
