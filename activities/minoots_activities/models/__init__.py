"""Language models: providers, the router between them, and what they cost."""
