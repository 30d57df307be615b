"""Virtual machines: programs of others on a kernel of their own."""
