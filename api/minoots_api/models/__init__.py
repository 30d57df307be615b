"""Language models over HTTP: which there are, and what they took."""
