"""What sandboxes may reach of the network: rules, and the gate outside the sandbox that holds them."""
