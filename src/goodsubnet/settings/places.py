"""Where prepared data and sub-datasets lie below `results_dir`: the workflow makes them, `watch` reads them."""

DATA = "data/{dataset}/images"
SUBSET = "{experiment}/subset/examples-{examples}/seed-{seed}"
