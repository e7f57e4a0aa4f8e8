"""Several processes that compute one stage together: Algorithm 2, started by torchrun."""
