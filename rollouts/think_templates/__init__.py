"""How model families mark thought: one file per default template. Knows nothing of servers."""
