"""A small real model on this machine for `rollouts`: `RolloutsClient(model="local/smollm2-135m-instruct")`."""
