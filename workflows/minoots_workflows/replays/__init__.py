"""Replays of many dead letters as workflows."""
