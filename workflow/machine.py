"""What a machine does in a second, and what a process takes of its memory: jobs' costs are expressed in these."""

import time

# MB of a job that does little: two processes of Snakemake (140 MB each), and Python with numpy and pandas (185 MB).
SMALL = 600
# MB of a process that imports torch, beside those two: 690 MB with the digits, 1.0 GB with MNIST's images.
WITH_TORCH = 1500
# MB more on an accelerator, for CUDA's libraries and pinned memory. Not measured: none was at hand.
WITH_CUDA = 4000
# MB of a process that reads images ahead. Not measured.
READER = 600
# Seconds of a neuron on an example in a selection step, and for all terms of the bounds; two cores of a server.
SELECTION_SECONDS = 0.4e-9
TERMS_SECONDS = 10e-9
# Importing torch and torchvision, and reading the images.
START_OF_DEEP = 6.0
# torchrun, and importing torch in each of its processes.
START_OF_WORKERS = 6.0
# Multiply-adds (counted as two) per second: a quarter of what a core of a server reached (62e9), and a third of the
# float32 peak of a GPU of 2017. Jobs of a cluster ask for time by these, and not by this machine's speed.
CORE, ACCELERATOR = 15e9, 5e12


class Machine:
    """accelerated: whether there are accelerators to compute on. rate: multiply-adds (counted as two) per second.

    Without a rate, that of one core of this machine is measured, once, by a small matrix product.
    """

    def __init__(self, accelerated: bool, rate: float | None = None) -> None:
        self.accelerated = accelerated
        self._rate = rate

    @property
    def rate(self) -> float:
        if self._rate is None:
            import numpy as np
            from threadpoolctl import threadpool_limits

            left, right = np.ones((128, 784), np.float32), np.ones((784, 1000), np.float32)
            with threadpool_limits(1):
                left @ right
                began = time.perf_counter()
                for _ in range(3):
                    left @ right
                # Training reaches about half of a bare product's speed: activations, updates, indexing.
                self._rate = 0.5 * 3 * 2 * left.size * right.shape[1] / (time.perf_counter() - began)
        return self._rate

    @property
    def cuda(self) -> float:
        """Additional MB that a process takes for an accelerator."""
        return WITH_CUDA if self.accelerated else 0
