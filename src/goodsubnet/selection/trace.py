"""The trace of a pruning method: the mean loss, the size and the cost of its subnetwork after each of its steps.

The size is the number of neurons that have a share in the output. The cost is counted, not measured, so that it hangs
on no machine: of the method as it is written down, not of our faster passes, which choose the same. It is counted in
passes. One pass is one evaluation of each of the N neurons on each of the m examples of the sub-dataset: the forward
pass of the dense network, or one score (one sum over the examples) for each of N candidates. So n neurons on r examples
are n r / (N m) passes.

    greedy forward selection   1 for the outputs, and 1 a step: the score of each neuron
    backward elimination       1 for the outputs, and j/N for the scores of the j neurons that are left
    line search                1 for the outputs; 1 for the first step, 2 a step afterwards: for each neuron its product
                               with the gradient and its distance from z; and 1/N for each evaluation of the logistic
                               loss along the line
    fully corrective           the same; and for |A| active neurons |A|/N for each product of them with a vector (their
                               outputs, their gradient), |A| (|A| + 1)/(2 N) for a matrix of second derivatives of the
                               logistic loss, and |A|/N for the products of the new neuron under the squared loss, where
                               that matrix stays
    random, magnitude          nothing for choosing, and 1/N for the outputs of each neuron
    iterative magnitude        3 n r / (N m) for an iteration on r examples with n neurons (forward, and twice as much
                               backward), and n/N for each look at the loss
"""

from dataclasses import dataclass

import numpy as np


def distinct_so_far(neurons: np.ndarray) -> np.ndarray:
    """How many different neurons are among the first 1, 2, ... of `neurons`; (len(neurons),) int64."""
    first = np.zeros(len(neurons), np.int64)
    first[np.unique(neurons, return_index=True)[1]] = 1
    return np.cumsum(first)


def one_by_one(size: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and passes of a ranking of neurons that asks for no outputs, after each of its first `size` neurons."""
    sizes = np.arange(1, size + 1)
    return sizes, sizes / width


@dataclass(frozen=True)
class Selection:
    """What a method chose, and its trace: how loss, size and cost went along its steps.

    neurons: int64, in the order chosen and with repeats; of a method that removes neurons, those that are left. losses:
    (points,) float64, the mean loss of the subnetwork after each step. sizes: (points,) int64, how many neurons it then
    has, and passes: (points,) float64, what it has cost until then; both as `selection.trace` counts them. share: the
    convex weight of each neuron that has one; None: its multiplicity among `neurons` over their number. weights: {"a",
    "b"} of the neurons with a share, in ascending order of the neurons, where the method changed them. gaps: (points,)
    float64, the certificate of a method that optimises the shares.
    """

    neurons: np.ndarray
    losses: np.ndarray
    sizes: np.ndarray
    passes: np.ndarray
    share: dict[int, float] | None = None
    weights: dict[str, np.ndarray] | None = None
    gaps: np.ndarray | None = None

    @property
    def distinct(self) -> int:
        """How many different neurons were chosen."""
        return len(set(self.neurons.tolist()))

    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """The neurons of the subnetwork, ascending (int64), and the share of each in its output (float64)."""
        if self.share is None:
            kept, counts = np.unique(np.asarray(self.neurons), return_counts=True)
            return kept, counts / len(self.neurons)
        kept = np.array(sorted(self.share), np.int64)
        return kept, np.array([self.share[neuron] for neuron in kept.tolist()])
