"""The event log over HTTP: pages and a live stream."""
