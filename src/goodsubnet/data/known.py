"""What is known of a data set before it is loaded, so that a configuration can be refused before any job."""

from ..errors import UserError
from . import cifar10, digits, mnist


def known_train_class_counts(settings: dict) -> list[int] | None:
    """Number of training examples of each class, without loading anything; None where only data can tell."""
    match settings["source"]:
        case "cifar10":
            return list(cifar10.TRAIN_CLASS_COUNTS)
        case "mnist":
            return list(mnist.TRAIN_CLASS_COUNTS)
        case "digits":
            return digits.train_class_counts(settings.get("test_share", digits.TEST_SHARE))
        case "folder":
            return None
        case unknown:
            raise _unknown_source(unknown)


def known_class_names(settings: dict) -> list[str] | None:
    """The class names, without loading anything; None where only the data can tell."""
    match settings["source"]:
        case "cifar10":
            return list(cifar10.CLASS_NAMES)
        case "mnist":
            return list(mnist.CLASS_NAMES)
        case "digits":
            return list(digits.CLASS_NAMES)
        case "folder":
            return None
        case unknown:
            raise _unknown_source(unknown)


def known_image(settings: dict) -> tuple[int, int | None, int | None]:
    """Channels, height and width of the images, without loading anything; None where only data can tell."""
    match settings["source"]:
        case "cifar10":
            return 3, 32, 32
        case "mnist":
            return 1, 28, 28
        case "digits":
            return 1, 8, 8
        case "folder":
            return settings["channels"], *(settings["size"] or (None, None))
        case unknown:
            raise _unknown_source(unknown)


def _unknown_source(source: object) -> UserError:
    return UserError(f"source: {source!r} is not known; choose one of cifar10, mnist, digits, folder.")
