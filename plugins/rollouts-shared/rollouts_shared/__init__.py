"""Limits and answers shared by processes and machines, for `rollouts`: `limiter="shared"`, `use_cache="postgresql"`."""
