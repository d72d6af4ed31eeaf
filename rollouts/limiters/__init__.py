"""When a request may start: one file for each default limiter."""
