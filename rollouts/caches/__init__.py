"""Where answers are kept: one module for each default cache, found through entry points."""
