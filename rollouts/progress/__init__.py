"""What a run shows while it works: one file for each default reporter."""
