"""Where deliveries go: limits and circuits."""
