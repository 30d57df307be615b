"""What jobs do: ask models, run programs."""
