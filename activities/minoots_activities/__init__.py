"""Every side effect: one class per adapter of a port that the workflows own."""
