"""Escalations over HTTP, with who can be told: people, rotations, policies, heartbeats."""
