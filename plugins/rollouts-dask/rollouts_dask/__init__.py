"""A batch over the workers of a Dask cluster for `rollouts`: `RolloutsClient(..., executor="dask")`."""
