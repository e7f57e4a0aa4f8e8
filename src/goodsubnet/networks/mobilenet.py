"""MobileNetV2 (Sandler et al., 2018) for small images: torchvision's class with smaller strides."""

from torchvision.models import MobileNetV2

# Expansion, channels, blocks, stride of each stage: Table 2 of the paper, except the stride of 24 channels (2 there).
CIFAR_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(form: str, width_multiplier: float, classes: int) -> MobileNetV2:
    """MobileNetV2 for RGB images.

    form: "cifar", stride 1 in the stem and in the stage of 24 channels, or "imagenet", torchvision's strides.
    width_multiplier: torchvision's `width_mult`, which rounds channels to multiples of 8.
    """
    if form == "imagenet":
        return MobileNetV2(num_classes=classes, width_mult=width_multiplier)
    network = MobileNetV2(
        num_classes=classes,
        width_mult=width_multiplier,
        inverted_residual_setting=[list(stage) for stage in CIFAR_STAGES],
    )
    network.features[0][0].stride = (1, 1)
    return network
