"""Compiled passes of two-layer networks in blocks of neurons, for training and for outputs.

Weights lie in blocks of `LANES` neurons, (blocks, inputs, LANES), so that one number of an input meets LANES neurons in
a few vector instructions, and a block stays in the processor's cache while all examples pass. Of inputs that are
mostly zero (MNIST's pixels: 81%) only the other numbers are read. Rows are taken in groups, so that what is read of a
block serves several: two that are alike, of sparse inputs, where the numbers that only one has meet a 0 in the other;
or any four. Each sum goes over an example's numbers in their order, whatever the blocks, groups or threads: results
depend on none of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodsubnet.runtime.compiling import compiled
from goodsubnet.runtime.threads import in_threads

if TYPE_CHECKING:

    def intrinsic(function: Callable[..., object]) -> Callable[..., Any]: ...

    def njit(**options: object) -> Callable[[Any], Any]: ...
else:
    from numba import njit
    from numba.extending import intrinsic

# Neurons of a block. Measured: 32 take 8% longer, 128 take 15 to 20% longer.
LANES = 64
# Numbers of a vector register: of AVX-512. LLVM splits them where registers are shorter.
VECTOR = 16
# A vector that crosses a line of the cache takes twice as long: all passes together did.
LINE = 64
# Below this share of numbers that are not zero, zeros are left out (benchmarks/two_layer.py).
BREAK_EVEN = 0.6
# Inputs whose weights of a block, 32 KB, are read by all examples before those of the next: 15% faster.
TILE = 128
# Examples among which pairs are looked for, and whose hidden values are held at a time where only outputs are asked.
ROWS = 64


@dataclass(frozen=True)
class Groups:
    """Numbers of rows in groups of G: group g is of the rows order[g G] to order[g G + G - 1].

    order: where rows are missing in the last group, it has the number of rows there are. starts: (tiles, groups + 1)
    int64; in tile t group g has the entries starts[t, g] to starts[t, g + 1]. places: int32, rising within a group,
    also from tile to tile. values: (entries, G) float32.
    """

    order: np.ndarray
    starts: np.ndarray
    places: np.ndarray
    values: np.ndarray


NOTHING = Groups(np.empty(0, np.int64), np.zeros((1, 1), np.int64), np.empty(0, np.int32), np.empty((0, 2), np.float32))


class Inputs:
    """Inputs, (examples, d) float32, and where they are not zero; in pairs, or in fours if most are not."""

    def __init__(self, rows: np.ndarray, sparse: bool | None = None) -> None:
        """sparse: whether to leave out the zeros; None: as `is_sparse` says."""
        self.rows = np.ascontiguousarray(rows, np.float32)
        self.sparse = is_sparse(self.rows) if sparse is None else sparse
        self._bits = np.zeros((len(rows), rows.shape[1] // 64 + 1 if self.sparse else 0), np.uint64)
        if self.sparse:
            _find(self.rows, self._bits)

    def __len__(self) -> int:
        return len(self.rows)

    def groups(self, examples: np.ndarray) -> Groups:
        """Examples in groups, as a forward pass reads them. Rows are counted within `examples`."""
        if self.sparse:
            return Groups(*_pairs_of_rows(self.rows, self._bits, examples))
        return Groups(*_fours(self.rows[examples], TILE))

    def columns(self, examples: np.ndarray) -> Groups:
        """The same numbers as neighbouring inputs in groups, over examples, as the step reads them."""
        if self.sparse:
            return Groups(*_pairs_of_columns(self.rows, self._bits, examples))
        return Groups(*_fours(np.ascontiguousarray(self.rows[examples].T), len(examples)))


def is_sparse(rows: np.ndarray) -> bool:
    """Whether leaving out the zeros is faster than taking four rows at a time."""
    return bool(np.count_nonzero(rows) < BREAK_EVEN * rows.size)


def empty(*shape: int) -> np.ndarray:
    """An array of float32 that begins at a line of the cache."""
    size = 4 * int(np.prod(shape))
    raw = np.empty(size + LINE, np.uint8)
    first = -raw.ctypes.data % LINE
    return raw[first : first + size].view(np.float32).reshape(shape)


def blocks_of(
    weights: Mapping[str, np.ndarray], first: int = 0, stop: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the neurons from `first` to before `stop` in blocks, (blocks, d, LANES) and (blocks, LANES).

    What is left of the last block is zero, and so are inputs more, up to a multiple of 4.
    """
    a, b = weights["a"][first:stop], weights["b"][first:stop]
    count, length = -(-len(b) // LANES), a.shape[1]
    inner, outer = empty(count, length + -length % 4, LANES), empty(count, LANES)
    inner[:, length:], inner[count - 1 :], outer[:] = 0, 0, 0
    for block in range(count):
        part = a[block * LANES : (block + 1) * LANES]
        inner[block, :length, : len(part)] = part.T
    outer.reshape(-1)[: len(b)] = b
    return inner, outer


def weights_of(inner: np.ndarray, outer: np.ndarray, width: int, length: int) -> dict[str, np.ndarray]:
    """The weights of `blocks_of`, back as they are stored: (width, length) and (width,)."""
    a = np.empty((width, length), np.float32)
    for block in range(len(inner)):
        part = a[block * LANES : (block + 1) * LANES]
        part[:] = inner[block, :length, : len(part)].T
    return {"a": a, "b": outer.reshape(-1)[:width].copy()}


def neuron_outputs(
    weights: Mapping[str, np.ndarray], rows: Inputs, first: int = 0, stop: int | None = None
) -> np.ndarray:
    """Outputs b_i relu(a_i . x) of the neurons from `first` to before `stop`: (neurons, examples) float32."""
    inner, outer = blocks_of(weights, first, stop)
    outputs, groups = np.empty((len(weights["b"][first:stop]), len(rows)), np.float32), _all(rows)
    in_threads(
        _neuron_outputs, len(inner), inner, outer, groups.order, groups.starts, groups.places, groups.values, outputs
    )
    return outputs


def forward(weights: Mapping[str, np.ndarray], rows: Inputs) -> np.ndarray:
    """Output of the dense network (eq. 2), (examples,) float32."""
    inner, outer = blocks_of(weights)
    sums, groups = np.empty((len(inner), len(rows)), np.float32), _all(rows)
    in_threads(_block_sums, len(inner), inner, outer, groups.order, groups.starts, groups.places, groups.values, sums)
    return (sums.sum(axis=0, dtype=np.float64) / len(weights["b"])).astype(np.float32)


def _all(rows: Inputs) -> Groups:
    return rows.groups(np.arange(len(rows)))


@intrinsic
def _bits_set(typing_context: object, word: object) -> tuple[object, Callable[..., object]]:
    from numba import types

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> object:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def _lowest_bit(typing_context: object, word: object) -> tuple[object, Callable[..., object]]:
    from llvmlite import ir
    from numba import types

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> object:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def _adding(size: int) -> Callable[..., None]:
    """Adds products to groups of `size` rows.

    target[order[i] - base] += the sum over entries q of group i // size of values[q, i % size] * source[places[q]], for
    groups first to stop. Rows of LANES numbers. Written for LLVM, because numba's loops would store the running sums at
    each q.
    """

    @intrinsic
    def add_products(
        typing_context: object,
        target: object,
        source: object,
        order: object,
        starts: object,
        places: object,
        values: object,
        first: object,
        stop: object,
        base: object,
    ) -> tuple[object, Callable[..., object]]:
        from llvmlite import ir
        from numba import types
        from numba.core import cgutils

        word, vector = ir.IntType(64), ir.VectorType(ir.FloatType(), VECTOR)
        registers = range(LANES // VECTOR)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> object:
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(signature.args[:6], arguments[:6], strict=True)
            ]
            target, source, order, starts, places, values = (array.data for array in arrays)
            sums = [[cgutils.alloca_once(builder, vector) for _ in registers] for _ in range(size)]
            number = [ir.Constant(word, each) for each in range(size + 1)]
            undefined, zero = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), VECTOR), None)

            def index(pointer: Any, at: Any) -> Any:
                value = builder.load(builder.gep(pointer, [at]))
                return value if value.type == word else builder.sext(value, word)

            def register(pointer: Any, row: Any, which: int) -> Any:
                offset = builder.add(builder.mul(row, ir.Constant(word, LANES)), ir.Constant(word, VECTOR * which))
                return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

            with cgutils.for_range_slice(builder, arguments[6], arguments[7], number[1], intp=word) as (group, _):
                begin, end = index(starts, group), index(starts, builder.add(group, number[1]))
                of_group = builder.mul(group, number[size])
                rows = [
                    builder.sub(index(order, builder.add(of_group, number[row])), arguments[8]) for row in range(size)
                ]
                for row in range(size):
                    for which in registers:
                        builder.store(builder.load(register(target, rows[row], which), align=4), sums[row][which])
                with cgutils.for_range_slice(builder, begin, end, number[1], intp=word) as (at, _):
                    place, of_values = index(places, at), builder.mul(at, number[size])
                    factors = []
                    for row in range(size):
                        scalar = builder.load(builder.gep(values, [builder.add(of_values, number[row])]))
                        factors.append(
                            builder.shuffle_vector(builder.insert_element(undefined, scalar, zero), undefined, zeros)
                        )
                    for which in registers:
                        shared = builder.load(register(source, place, which), align=4)
                        for row in range(size):
                            product = builder.fmul(factors[row], shared, flags=("contract",))
                            total = builder.fadd(product, builder.load(sums[row][which]), flags=("contract",))
                            builder.store(total, sums[row][which])
                for row in range(size):
                    for which in registers:
                        builder.store(builder.load(sums[row][which]), register(target, rows[row], which), align=4)
            return context.get_dummy_value()

        kinds = (target, source, order, starts, places, values, types.int64, types.int64, types.int64)
        return types.void(*kinds), generate

    return add_products


_add_to_pairs, _add_to_fours = _adding(2), _adding(4)


@njit()
def _add_products(
    target: np.ndarray,
    source: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    places: np.ndarray,
    values: np.ndarray,
    first: int,
    stop: int,
    base: int,
) -> None:
    if values.shape[1] == 2:
        _add_to_pairs(target, source, order, starts, places, values, first, stop, base)
    else:
        _add_to_fours(target, source, order, starts, places, values, first, stop, base)


@compiled()
def _find(rows: np.ndarray, bits: np.ndarray) -> None:
    for example in range(rows.shape[0]):
        for place in range(rows.shape[1]):
            if rows[example, place] != 0:
                bits[example, place // 64] |= np.uint64(1) << np.uint64(place % 64)


@njit()
def _paired(bits: np.ndarray, examples: np.ndarray, order: np.ndarray, first: int, stop: int) -> None:
    """Rows first to stop in an order in which each second one is the likest to the one before, of those left."""
    for i in range(first, stop):
        order[i] = i
    for i in range(first, stop - 1, 2):
        best, fewest = i + 1, np.int64(2**62)
        of_first = bits[examples[order[i]]]
        for j in range(i + 1, stop):
            other, either = bits[examples[order[j]]], np.uint64(0)
            both = np.uint64(0)
            for word in range(of_first.shape[0]):
                either += _bits_set(of_first[word] | other[word])
                both += _bits_set(of_first[word] & other[word])
            # Entries that the pair has more than it shares.
            apart = np.int64(either) - np.int64(both)
            if apart < fewest:
                best, fewest = j, apart
        order[i + 1], order[best] = order[best], order[i + 1]


@compiled()
def _pairs_of_rows(
    rows: np.ndarray, bits: np.ndarray, examples: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    count = examples.shape[0]
    pairs = (count + 1) // 2
    # Of an odd last pair the second row is one behind the others, with the numbers of nobody.
    order = np.full(2 * pairs, count, np.int64)
    for first in range(0, count, ROWS):
        _paired(bits, examples, order, first, min(first + ROWS, count))
    words, at = bits.shape[1], np.int64(0)
    tiles = (words * 64 + TILE - 1) // TILE
    starts = np.zeros((tiles, pairs + 1), np.int64)
    for tile in range(tiles):
        starts[tile, 0] = at
        for pair in range(pairs):
            one = bits[examples[order[2 * pair]]]
            two = bits[examples[order[2 * pair + 1]]] if order[2 * pair + 1] < count else one
            for word in range(tile * TILE // 64, min((tile + 1) * TILE // 64, words)):
                at += np.int64(_bits_set(one[word] | two[word]))
            starts[tile, pair + 1] = at
    places, values = np.empty(at, np.int32), np.empty((at, 2), np.float32)
    for pair in range(pairs):
        one = examples[order[2 * pair]]
        alone = order[2 * pair + 1] >= count
        two = one if alone else examples[order[2 * pair + 1]]
        for tile in range(tiles):
            at = starts[tile, pair]
            for word in range(tile * TILE // 64, min((tile + 1) * TILE // 64, words)):
                left = bits[one, word] | bits[two, word]
                while left:
                    place = 64 * word + np.int64(_lowest_bit(left))
                    left &= left - np.uint64(1)
                    places[at] = place
                    values[at, 0] = rows[one, place]
                    values[at, 1] = np.float32(0) if alone else rows[two, place]
                    at += 1
    return order, starts, places, values


@compiled()
def _pairs_of_columns(
    rows: np.ndarray, bits: np.ndarray, examples: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    count, length = examples.shape[0], rows.shape[1]
    pairs = (length + 1) // 2
    order = np.arange(2 * pairs)
    starts = np.zeros(pairs + 1, np.int64)
    even = np.uint64(0x5555555555555555)
    words = bits.shape[1]
    for j in range(count):
        for word in range(words):
            left = bits[examples[j], word]
            left = (left | (left >> np.uint64(1))) & even
            while left:
                starts[32 * word + np.int64(_lowest_bit(left)) // 2 + 1] += 1
                left &= left - np.uint64(1)
    for pair in range(pairs):
        starts[pair + 1] += starts[pair]
    nexts = starts.copy()
    places, values = np.empty(starts[pairs], np.int32), np.empty((starts[pairs], 2), np.float32)
    for j in range(count):
        row = rows[examples[j]]
        for word in range(words):
            left = bits[examples[j], word]
            left = (left | (left >> np.uint64(1))) & even
            while left:
                place = 64 * word + np.int64(_lowest_bit(left))
                left &= left - np.uint64(1)
                at = nexts[place // 2]
                nexts[place // 2] += 1
                places[at] = j
                values[at, 0] = row[place]
                values[at, 1] = row[place + 1] if place + 1 < length else np.float32(0)
    return order, starts.reshape(1, pairs + 1), places, values


@compiled()
def _fours(rows: np.ndarray, tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    count, length = rows.shape
    groups, tiles = (count + 3) // 4, max(1, (length + tile - 1) // tile)
    order = np.minimum(np.arange(4 * groups), count)
    starts = np.zeros((tiles, groups + 1), np.int64)
    places, values = np.empty(groups * length, np.int32), np.zeros((groups * length, 4), np.float32)
    at = 0
    for t in range(tiles):
        starts[t, 0] = at
        for group in range(groups):
            for place in range(t * tile, min((t + 1) * tile, length)):
                places[at] = place
                for row in range(4 * group, min(4 * group + 4, count)):
                    values[at, row - 4 * group] = rows[row, place]
                at += 1
            starts[t, group + 1] = at
    return order, starts, places, values


@njit()
def _relu(value: np.float32) -> np.float32:
    """max(value, 0), of NaN NaN."""
    return np.float32(0) if value <= np.float32(0) else value


@njit(fastmath={"contract", "nsz"})
def _turned(hidden: np.ndarray, outer: np.ndarray, outputs: np.ndarray, start: int) -> None:
    """Hidden values of ROWS examples become rows of neurons' outputs."""
    for i in range(outputs.shape[0]):
        row = outputs[i]
        for e in range(hidden.shape[0]):
            row[start + e] = outer[i] * _relu(hidden[e, i])


@njit(fastmath={"contract", "nsz", "reassoc"})
def _outputs_of_block(hidden: np.ndarray, outer: np.ndarray, sums: np.ndarray) -> None:
    for e in range(sums.shape[0]):
        row = hidden[e]
        total = np.float32(0)
        for i in range(LANES):
            total += outer[i] * _relu(row[i])
        sums[e] = total


@njit()
def _fill(
    hidden: np.ndarray,
    weights: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    places: np.ndarray,
    values: np.ndarray,
    start: int,
    count: int,
) -> None:
    """Hidden values of the rows from `start` on, so many, for a block's weights. start: a multiple of a group."""
    size = values.shape[1]
    for e in range(count):
        for i in range(LANES):
            hidden[e, i] = 0
    for tile in range(starts.shape[0]):
        stop_group = (start + count + size - 1) // size
        _add_products(hidden, weights, order, starts[tile], places, values, start // size, stop_group, start)


@njit()
def _scratch() -> np.ndarray:
    """Hidden values of ROWS examples and of nobody, from a line of the cache on."""
    raw = np.empty((ROWS + 1) * LANES + LINE // 4, np.float32)
    first = (-raw.ctypes.data % LINE) // 4
    return raw[first : first + (ROWS + 1) * LANES].reshape(ROWS + 1, LANES)


@compiled(nogil=True)
def _neuron_outputs(
    first: int,
    stop: int,
    inner: np.ndarray,
    outer: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    places: np.ndarray,
    values: np.ndarray,
    outputs: np.ndarray,
) -> None:
    examples = outputs.shape[1]
    for block in range(first, stop):
        hidden = _scratch()
        rows = outputs[block * LANES : (block + 1) * LANES]
        for start in range(0, examples, ROWS):
            count = min(ROWS, examples - start)
            _fill(hidden, inner[block], order, starts, places, values, start, count)
            _turned(hidden[:count], outer[block], rows, start)


@compiled(nogil=True)
def _block_sums(
    first: int,
    stop: int,
    inner: np.ndarray,
    outer: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    places: np.ndarray,
    values: np.ndarray,
    sums: np.ndarray,
) -> None:
    examples = sums.shape[1]
    for block in range(first, stop):
        hidden = _scratch()
        for start in range(0, examples, ROWS):
            count = min(ROWS, examples - start)
            _fill(hidden, inner[block], order, starts, places, values, start, count)
            _outputs_of_block(hidden, outer[block], sums[block, start : start + count])


@njit(fastmath={"contract", "nsz"})
def _descend_outer(hidden: np.ndarray, outer: np.ndarray, moves: np.ndarray, relu: bool) -> None:
    """Each hidden value becomes what its example adds to the neuron's a; `outer` takes its own step.

    hidden: before the activation for ReLU, after it for tanh.
    """
    change = np.zeros(LANES, np.float32)
    for e in range(moves.shape[0]):
        row, move = hidden[e], moves[e]
        if relu:
            for i in range(LANES):
                change[i] += move * _relu(row[i])
                row[i] = move * outer[i] if row[i] > np.float32(0) else np.float32(0)
        else:
            for i in range(LANES):
                change[i] += move * row[i]
                row[i] = move * outer[i] * (np.float32(1) - row[i] * row[i])
    for i in range(LANES):
        outer[i] += change[i]


@compiled(nogil=True)
def descend_and_forward(
    first: int,
    stop: int,
    inner: np.ndarray,
    outer: np.ndarray,
    hidden: np.ndarray,
    relu: bool,
    moves: np.ndarray,
    column_order: np.ndarray,
    column_starts: np.ndarray,
    column_places: np.ndarray,
    column_values: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    places: np.ndarray,
    values: np.ndarray,
    sums: np.ndarray,
) -> None:
    """The step of one batch and the forward pass of the next, block by block: weights are read and written once.

    first, stop: blocks. hidden: (blocks, batch + 1, LANES), what the pass before left; that of the next afterwards.
    moves: (examples,) of the batch before, -step / N times the derivative of the loss by the output; empty for none.
    column_*: the groups of columns of that batch. order, starts, places, values: the groups of rows of the next one.
    sums: (blocks, examples), the next batch's outputs before they are summed over blocks and divided by N. relu: else
    the caller applies the activation to `hidden` afterwards, and asks `outputs_of_hidden`.
    """
    count = sums.shape[1]
    for block in range(first, stop):
        weights, values_of_block = inner[block], hidden[block]
        if moves.shape[0] > 0:
            _descend_outer(values_of_block, outer[block], moves, relu)
            _add_products(
                weights,
                values_of_block,
                column_order,
                column_starts[0],
                column_places,
                column_values,
                0,
                column_starts.shape[1] - 1,
                0,
            )
        if count > 0:
            _fill(values_of_block, weights, order, starts, places, values, 0, count)
            if relu:
                _outputs_of_block(values_of_block, outer[block], sums[block])


@compiled(nogil=True)
def outputs_of_hidden(first: int, stop: int, outer: np.ndarray, hidden: np.ndarray, sums: np.ndarray) -> None:
    """The sums of `descend_and_forward`, of hidden values after the activation."""
    for block in range(first, stop):
        for e in range(sums.shape[1]):
            total = np.float32(0)
            for i in range(LANES):
                total += outer[block, i] * hidden[block, e, i]
            sums[block, e] = total
