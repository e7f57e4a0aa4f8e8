"""Residual networks (He et al., "Deep Residual Learning for Image Recognition", 2016), built of torchvision's blocks.

torchvision's own class has four stages, their widths and the stem for 224 x 224 images built in. Here the stem and the
widths are free, and modules have torchvision's names, so that weights can be exchanged where the shapes agree.
"""

from collections import OrderedDict

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

# Block, blocks in each stage, channels of each stage.
STAGES: dict[str, tuple[type[BasicBlock | Bottleneck], tuple[int, ...], tuple[int, ...]]] = {
    # 6n + 2 layers for 32 x 32 images (section 4.2); shortcuts are projected where the paper pads them with zeros.
    "resnet8": (BasicBlock, (1, 1, 1), (16, 32, 64)),
    "resnet20": (BasicBlock, (3, 3, 3), (16, 32, 64)),
    # Table 1.
    "resnet18": (BasicBlock, (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": (BasicBlock, (3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet50": (Bottleneck, (3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet101": (Bottleneck, (3, 4, 23, 3), (64, 128, 256, 512)),
    "resnet152": (Bottleneck, (3, 8, 36, 3), (64, 128, 256, 512)),
}


def resnet(name: str, form: str, width_multiplier: float, classes: int) -> nn.Sequential:
    """A residual network for RGB images.

    name: a key of `STAGES`. form: "cifar", a 3x3 stem of stride 1 and no max-pool, or "imagenet", a 7x7 stem of
    stride 2 and a max-pool. width_multiplier: factor on the channels of each stage, rounded, at least one.
    """
    block, blocks, channels = STAGES[name]
    channels = tuple(max(1, round(width_multiplier * count)) for count in channels)
    pool: nn.Module
    if form == "cifar":
        stem, pool = nn.Conv2d(3, channels[0], 3, stride=1, padding=1, bias=False), nn.Identity()
    else:
        stem = nn.Conv2d(3, channels[0], 7, stride=2, padding=3, bias=False)
        pool = nn.MaxPool2d(3, stride=2, padding=1)
    modules: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=stem, bn1=nn.BatchNorm2d(channels[0]), relu=nn.ReLU(inplace=True), maxpool=pool
    )
    inputs = channels[0]
    for stage, (count, planes) in enumerate(zip(blocks, channels, strict=True), start=1):
        modules[f"layer{stage}"] = _stage(block, inputs, planes, count, stride=1 if stage == 1 else 2)
        inputs = planes * block.expansion
    modules |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(inputs, classes)}
    network = nn.Sequential(modules)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _stage(block: type[BasicBlock | Bottleneck], inputs: int, planes: int, count: int, stride: int) -> nn.Sequential:
    """`count` blocks, the first with `stride`; its shortcut is projected where the shape changes."""
    outputs = planes * block.expansion
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    first = block(inputs, planes, stride, downsample)
    return nn.Sequential(first, *(block(outputs, planes) for _ in range(count - 1)))
