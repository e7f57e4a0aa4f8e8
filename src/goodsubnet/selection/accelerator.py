"""The outputs of all neurons on an accelerator: the same passes as `columns.Columns`, by torch and one Triton kernel.

Bounds and near-ties are the searches' own, so the neurons chosen are those that the processor chooses.
"""

import numpy as np
import torch
import triton
import triton.language as tl

from goodsubnet.selection.columns import Moments

BLOCK = 1024
# float64 temporaries of a pass stay below this.
TEMPORARY_BYTES = 2**28


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types
def _quartic_kernel(  # type: ignore[no-untyped-def]  # Triton would take annotations for the types to compile for
    columns, neurons, weights, out, examples, stride, BLOCK: tl.constexpr
):
    """One program a neuron: its row and the four weights are read once, each block is summed in their precision."""
    which = tl.program_id(0)
    row = columns + tl.load(neurons + which) * stride
    lanes = tl.arange(0, BLOCK)
    total = tl.zeros((), dtype=tl.float64)
    for start in range(0, examples, BLOCK):
        at = start + lanes
        inside = at < examples
        phi = tl.load(row + at, mask=inside, other=0.0)
        w1 = tl.load(weights + at, mask=inside, other=0.0)
        w2 = tl.load(weights + examples + at, mask=inside, other=0.0)
        w3 = tl.load(weights + 2 * examples + at, mask=inside, other=0.0)
        w4 = tl.load(weights + 3 * examples + at, mask=inside, other=0.0)
        terms = phi * (w1 + phi * (w2 + phi * (w3 + phi * w4)))
        total += tl.sum(terms, axis=0).to(tl.float64)
    tl.store(out + which, total)


class DeviceColumns:
    """Outputs held neuron by neuron: (neurons, examples) float32 or float64 tensor, copied if not C-contiguous.

    Raises ValueError if a value is NaN or infinite.
    """

    def __init__(self, values: torch.Tensor, targets: np.ndarray) -> None:
        self.values = values.contiguous()
        self.neurons, self.examples = values.shape
        self._unit = torch.finfo(values.dtype).eps / 2
        self.rounding: float | np.floating = (min(self.examples, BLOCK) + 16) * self._unit
        # Screening evaluates in float64 here, and so repeats nothing: `softplus` decides on what it leaves.
        self.screen_rounding: float | np.floating = np.finfo(np.float64).eps / 2
        y = self._tensor(targets)
        parts = []
        for chunk in self._chunks(self.values):
            x = chunk.double()
            if not bool(torch.isfinite(x).all()):
                raise ValueError("outputs contain NaN or infinite values")
            square = x * x
            product, largest = x @ y, x.abs().amax(1)
            fifth = (square * square * x.abs()).sum(1)
            parts.append(torch.stack((largest, square.sum(1), (square * square).sum(1), fifth, product)))
        self.moments = Moments(*torch.cat(parts, 1).cpu().numpy())

    def _tensor(self, array: np.ndarray, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.values.device, dtype)

    def _chunks(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # Up to four temporaries live at once.
        return rows.split(max(1, TEMPORARY_BYTES // (32 * self.examples)))

    def column(self, neuron: int) -> np.ndarray:
        """(examples,) float64 on the processor: phi of one neuron."""
        return self.values[int(neuron)].double().cpu().numpy()

    def products(self, neurons: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(len(others), len(neurons)) float64: inner products, summed in float64. others: (any number, examples)."""
        right = self._tensor(others).T
        rows = self._tensor(neurons, torch.int64)
        parts = [self.values[chunk].double() @ right for chunk in self._chunks(rows)]
        return torch.cat(parts).T.cpu().numpy()

    def quartics(self, neurons: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(len(neurons),) float64: sums of w1 phi + ... + w4 phi^4, weights (4, examples) float64."""
        out = torch.empty(len(neurons), dtype=torch.float64, device=self.values.device)
        _quartic_kernel[(len(neurons),)](
            self.values,
            self._tensor(neurons, torch.int64),
            self._tensor(weights, self.values.dtype),
            out,
            self.examples,
            self.values.stride(0),
            BLOCK=BLOCK,
        )
        return out.cpu().numpy()

    def softplus(self, neurons: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Sums of softplus((scale * phi + offset) ln 2) in float64."""
        factor, shift = self._tensor(scale * np.log(2)), self._tensor(offset * np.log(2))
        sums = []
        for chunk in self._chunks(self._tensor(neurons, torch.int64)):
            t = torch.addcmul(shift, self.values[chunk].double(), factor)
            sums.append((t.clamp(min=0) + torch.log1p(torch.exp(-t.abs()))).sum(1))
        return torch.cat(sums).cpu().numpy()

    screen = softplus
