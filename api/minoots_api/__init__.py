"""The gateway: HTTP in, records and Temporal calls out."""
