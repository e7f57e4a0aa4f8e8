"""A small network that this project knows nothing of: four convolutions with batch norm, for images of about 8 x 8.

`goodsubnet` asks two things of the file: a function that builds a torch.nn.Module from the number of classes and of the
images' channels, and that the file stands alone.
"""

from torch import nn


def build(classes, channels):
    """The network with fresh weights. It takes normalised images, (batch, channels, height, width)."""

    def block(inputs, outputs, stride=1):
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

    return nn.Sequential(
        block(channels, 16),
        block(16, 32, stride=2),
        block(32, 32),
        block(32, 64, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, classes),
    )
