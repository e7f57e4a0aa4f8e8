"""Choosing neurons of a two-layer network, and channels of a deep network's layer, exactly and fast.

    forward      Algorithms 1 and 2: `greedy_forward_selection`
    squared, logistic
                 the search of a step, for each loss; `columns`, `kernels` and `accelerator`: passes over the outputs
    losses       scores and losses in float64, by which near-ties are decided
    distributed  the search by several workers
    layers       channels of a layer
    backward, convex, iterative, magnitude
                 what greedy forward selection is compared with
    candidates   what a selection of neurons may look at
    trace        what a method chose, and how loss, size and cost went

Import from the modules themselves: this file imports none of them, so that what ranks does not depend on what searches.
"""
