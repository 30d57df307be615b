"""Plans as workflows: timers that follow from one another."""
