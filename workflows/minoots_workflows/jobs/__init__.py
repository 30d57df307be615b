"""Jobs as workflows: what is next, until nothing is."""
