"""Agents and their inboxes over HTTP."""
