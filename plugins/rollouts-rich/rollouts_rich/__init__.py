"""Progress with spend, rate and time left for `rollouts`: `RolloutsClient(…, progress="rich")`."""
