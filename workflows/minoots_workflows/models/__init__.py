"""Language models: what is asked of them goes through a router, and what can go wrong is a closed set."""
