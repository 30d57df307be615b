"""Deliveries that failed at first: their retries as workflows."""
