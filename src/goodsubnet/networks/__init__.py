"""Networks: what they compute, and how their weights begin. One module per kind."""
