"""Networks: what they compute, and how their weights are initialised. One module per kind."""
