"""What agents do: their models are asked, and their tools are used."""
