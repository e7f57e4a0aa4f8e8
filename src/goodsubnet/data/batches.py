"""The images of deep networks, in batches: kept on the device (`ResidentImages`) or read from files (`StreamedImages`).

Both give the batches of iterations `start` to `stop` of a training, and all images in order. What an iteration gets is
a function of the order, the seed and the iteration: a resumed run sees the same images, bit for bit.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from goodsubnet.data.augmentation import crop_and_flip
from goodsubnet.data.files import read_image
from goodsubnet.data.order import Order
from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.settings.training import Crop, ResizedCrop

_Request = tuple[int, str, tuple[int, int] | None]
"""Index and file of an image, and (seed, iteration) where it is augmented."""


class ResidentImages:
    """Images that are kept on the device as bytes.

    images: uint8, shape (examples, channels, height, width), values 0 .. pixel_max. labels: int64, shape (examples,).
    augmentation: of training batches, as `crop_and_flip` does it, or None.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        pixel_max: int,
        device: torch.device | str,
        augmentation: Crop | None = None,
    ) -> None:
        # Copied: arrays mapped from a file cannot be written, and torch warns of sharing them.
        self.images = torch.tensor(images, device=device)
        self.labels = torch.tensor(labels, device=device)
        self.pixel_max = pixel_max
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def training_batches(self, order: Order, seed: int, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of iterations start .. stop - 1, augmented.

        seed: of the augmentation. Yields images, float32 in [0, 1] of shape (batch, channels, height, width), and
        labels, int64 of shape (batch,), on the device.
        """
        _check_examples(order, self)
        for iteration in range(start, stop):
            indices = torch.from_numpy(order.indices(iteration)).to(self.images.device)
            images = self.images[indices]
            if self.augmentation is not None:
                images = crop_and_flip(images, seed, iteration, self.augmentation.padding, self.augmentation.flip)
            yield _unit_range(images, self.pixel_max), self.labels[indices]

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images and labels in their own order, not augmented, as `training_batches` yields them."""
        for images, labels in zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True):
            yield _unit_range(images, self.pixel_max), labels

    def take(self, indices: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
        """The images and labels at `indices`, not augmented, as `training_batches` yields them."""
        chosen = torch.as_tensor(indices, dtype=torch.int64, device=self.images.device)
        return _unit_range(self.images[chosen], self.pixel_max), self.labels[chosen]


class StreamedImages:
    """Images that are read from their files each time, for folders that do not fit into memory.

    root: the folder. files: paths relative to it. labels: int64, shape (examples,). channels: 1 (grey) or 3 (RGB).
    size: height and width of what the network sees, in pixels. augmentation: of training batches: a random part of the
    image, 3:4 to 4:3, resized (torchvision's RandomResizedCrop), then flipped left to right with probability 1/2; None:
    as for evaluation. There the short side becomes size * 256/224, and the centre is cut out. Resizing is bilinear,
    antialiased.
    readers: processes that read ahead; 0 reads in this one. What is read does not depend on their number.

    Iterating raises UserError, naming the file, for an image that cannot be decoded. The readers end with the
    iteration, even if it is abandoned.
    """

    def __init__(
        self,
        root: str | Path,
        files: Sequence[str],
        labels: np.ndarray,
        channels: int,
        size: int,
        device: torch.device | str,
        augmentation: ResizedCrop | None = None,
        readers: int = 0,
    ) -> None:
        self.files = files
        self.labels = torch.tensor(labels, device=device)
        self.image_shape = (channels, size, size)
        self.readers = readers
        self._reader = _Reader(root, channels, size, augmentation)

    def __len__(self) -> int:
        return len(self.files)

    def training_batches(self, order: Order, seed: int, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As `ResidentImages.training_batches`.

        What is drawn for an image is a function of (seed, iteration) and its index.
        """
        _check_examples(order, self)
        return self._load(self._requests(order.indices(now), (seed, now)) for now in range(start, stop))

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images and labels in their own order, not augmented, as `training_batches` yields them."""
        every = range(len(self))
        return self._load(self._requests(every[first : first + batch_size]) for first in every[::batch_size])

    def take(self, indices: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
        """The images and labels at `indices`, not augmented, as `training_batches` yields them."""
        # Decoding and resizing do not hold Python's lock, and threads cost nothing to start, unlike processes.
        with ThreadPoolExecutor(max(1, self.readers)) as pool:
            return self._on_device(*_collate(list(pool.map(self._reader.__getitem__, self._requests(indices)))))

    def _requests(self, indices: Iterable[int], stream: tuple[int, int] | None = None) -> list[_Request]:
        # With the names in the requests, the readers need no copy of the list, which may have a million entries.
        return [(int(index), self.files[index], stream) for index in indices]

    def _load(self, requests: Iterable[list[_Request]]) -> Iterator[tuple[Tensor, Tensor]]:
        loader = DataLoader(
            self._reader,
            batch_sampler=requests,
            num_workers=self.readers,
            collate_fn=_collate,
            pin_memory=self.labels.device.type == "cuda",
            worker_init_fn=_leave_process_group,
            # Without one, each pass draws a seed for its readers from the global stream.
            generator=torch.Generator(),
        )
        for loaded in loader:
            yield self._on_device(*loaded)

    def _on_device(self, indices: Tensor, images: Tensor | UserError) -> tuple[Tensor, Tensor]:
        if isinstance(images, UserError):
            raise images
        device = self.labels.device
        return _unit_range(images.to(device, non_blocking=True), 255), self.labels[indices.to(device)]


class _Reader(Dataset):
    """Reads an image: what a worker holds."""

    def __init__(self, root: str | Path, channels: int, size: int, augmentation: ResizedCrop | None) -> None:
        from torchvision.transforms import v2

        self.root, self.channels = Path(root), channels
        self.evaluation = v2.Compose([v2.Resize(round(size * 256 / 224)), v2.CenterCrop(size), v2.PILToTensor()])
        self.training = self.evaluation
        if augmentation is not None:
            crop = v2.RandomResizedCrop(size, scale=tuple(augmentation.scale))
            flip = v2.RandomHorizontalFlip(0.5 if augmentation.flip else 0.0)
            self.training = v2.Compose([crop, flip, v2.PILToTensor()])

    def __getitem__(self, request: _Request) -> tuple[int, Tensor | UserError]:
        """Index and image, uint8 of shape (channels, size, size); an error is returned.

        What a worker raises would come out of the DataLoader with the worker's traceback as its message.
        """
        index, file, stream = request
        try:
            image = read_image(self.root / file, self.channels)
        except UserError as error:
            return index, error
        if stream is None:
            return index, self.evaluation(image)
        # Transforms draw from torch's global stream. The generator is seeded itself, because torch.manual_seed would
        # seed the accelerators' streams too, which are not put back.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(random_generator("augmentation", *stream, index).integers(2**63)))
            return index, self.training(image)


def _collate(loaded: list[tuple[int, Tensor | UserError]]) -> tuple[Tensor, Tensor | UserError]:
    """Indices, int64, shape (batch,), and images, uint8, shape (batch, channels, size, size), or the first error."""
    indices, images = zip(*loaded, strict=True)
    error = next((image for image in images if isinstance(image, UserError)), None)
    return torch.tensor(indices), torch.stack(images) if error is None else error


def _leave_process_group(_worker: int) -> None:
    """So that a signal sent to a whole job reaches the process that knows what to save, and not its readers.

    A worker ended by a signal would cause an error in the middle of saving. Workers end when their parent is gone.
    """
    os.setpgid(0, 0)


def _check_examples(order: Order, source: "ResidentImages | StreamedImages") -> None:
    if order.examples != len(source):
        raise ValueError(f"the order is one of {order.examples} examples, but there are {len(source)} images")


def _unit_range(images: Tensor, pixel_max: int) -> Tensor:
    return images.to(torch.float32) / pixel_max
