"""Trying receivers without sending them anything."""
