"""What hangs on a client: one file a noun, the sync class and its async twin. No logic, no I/O."""
