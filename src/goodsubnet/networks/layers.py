"""The prunable layers of a network, found in its traced graph, and the network cut in two at one of them."""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from goodsubnet.errors import UserError
from goodsubnet.networks.deep import check_image, evaluating

NORMS = (nn.BatchNorm2d,)
# Each treats every channel separately, whatever the values, so a channel can be removed without affecting the others.
CHANNELWISE_MODULES = (
    *NORMS,
    *(nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardtanh),
    *(nn.Sigmoid, nn.Hardsigmoid, nn.Dropout, nn.Dropout2d),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
)
CHANNELWISE_FUNCTIONS = {
    *(torch.relu, torch.relu_, torch.sigmoid, functional.relu, functional.relu6, functional.leaky_relu),
    *(functional.elu, functional.gelu, functional.silu, functional.hardswish, functional.hardtanh),
    *(functional.dropout, functional.dropout2d, functional.max_pool2d, functional.avg_pool2d),
    *(functional.adaptive_avg_pool2d, functional.adaptive_max_pool2d),
}
CHANNELWISE_METHODS = {"relu", "relu_", "sigmoid", "contiguous"}


@dataclass(frozen=True)
class PrunableLayer:
    """An inner channel dimension: made by one convolution, read by one other, and by nothing else.

    name: dotted name of the convolution that makes the channels. consumer: of the convolution that reads them.
    channels: how many. norm: dotted name of the last norm between the two, or None.
    """

    name: str
    consumer: str
    channels: int
    norm: str | None


def check_prunable(network: nn.Module, image: Sequence[int], classes: int) -> None:
    """Raises UserError where a network could not be pruned, or does not tell the classes of such images apart."""
    prunable_layers(network)
    check_image(network, image, classes)


def prunable_layers(network: nn.Module) -> list[PrunableLayer]:
    """The prunable layers of a network, from input to output.

    A prunable layer is a convolution and a chain of operations, each the only user of the one before, that treat every
    channel separately (norm, activation, pooling, depthwise convolution) up to exactly one ordinary convolution. So:
    conv1 of a ResNet's basic block, conv1 and conv2 of its bottleneck, the expanded channels of MobileNetV2.
    Convolutions that read the image itself are left alone, as in the public code of Ye et al. (ICML 2020).
    Raises UserError where the network cannot be traced, or has no such layer.
    """
    graph = _trace(network).graph
    modules = dict(network.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    layers = [
        layer
        for node in _behind_a_convolution(graph, modules)
        if _is_convolution(node, modules) and (layer := _layer_from(node, modules, calls)) is not None
    ]
    if not layers:
        raise UserError(
            f"{_title(network)} has no layer that can be pruned: none of its convolutions hands its channels on to "
            "just one other; choose another architecture"
        )
    return layers


class SplitNetwork:
    """A network in eval mode, cut at the input of a layer's consumer: after(consumer(inputs), rest) are its logits.

    The parts share the network's modules: a changed weight changes them, too; a changed shape needs a new cut.
    Every operation that comes before the consumer is in `before`, so the order of all of them stays what it was.

    consumer: the convolution at the cut. layer: the layer.
    Raises UserError where the network cannot be traced, ValueError where it does not have this layer.
    """

    def __init__(self, network: nn.Module, layer: PrunableLayer) -> None:
        network.eval()
        traced = _trace(network)
        nodes = list(traced.graph.nodes)
        cut = next((n for n, node in enumerate(nodes) if node.target == layer.consumer), None)
        if cut is None or not isinstance(network.get_submodule(layer.consumer), nn.Conv2d):
            raise ValueError(f"the network has no convolution {layer.consumer}")
        self.layer = layer
        self.consumer = cast(nn.Conv2d, network.get_submodule(layer.consumer))
        self._before, self._after = _cut(network, nodes, cut)

    def before(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the consumer reads, (B, C, H, W), and the other tensors that the remainder needs.

        images: (B, channels, height, width), as the network takes them.
        """
        inputs, rest = self._before(images)
        if not all(isinstance(value, Tensor) for value in rest):
            raise UserError(
                f"layer {self.layer.name} cannot be pruned: what follows it depends on a shape from before it"
            )
        return inputs, rest

    def after(self, consumed: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
        """The logits, (B, classes), from the consumer's outputs, which may be overwritten, and the other tensors."""
        return self._after(consumed, *rest)

    def copy_of_after(self) -> tuple[nn.Conv2d, fx.GraphModule]:
        """Copies of the consumer and of what follows it, called as after(consumed, *rest); free of gradients."""
        consumer, after = copy.deepcopy((self.consumer, self._after))
        consumer.requires_grad_(False)
        after.requires_grad_(False)
        return consumer, after


def _title(network: nn.Module) -> str:
    return type(getattr(network, "network", network)).__name__


def _trace(network: nn.Module) -> fx.GraphModule:
    """The graph of the network in eval mode; leaves the modes of its modules as they were."""
    with evaluating(network):
        try:
            return fx.symbolic_trace(network)
        # A network's code may raise any exception when it handles a value that is not there yet.
        except Exception as error:
            raise UserError(
                f"{_title(network)} cannot be pruned: its operations depend on the values or shapes of its inputs "
                f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); choose another architecture"
            ) from None


def _module(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules[_name(node)] if node.op == "call_module" else None


def _name(node: fx.Node) -> str:
    """Of the module that a node calls."""
    return cast(str, node.target)


def _is_convolution(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether it mixes all its channels."""
    module = _module(node, modules)
    return isinstance(module, nn.Conv2d) and module.groups == 1


def _is_channelwise(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        module = modules[_name(node)]
        if isinstance(module, nn.Conv2d):
            return 1 < module.groups == module.in_channels == module.out_channels
        return isinstance(module, CHANNELWISE_MODULES)
    if node.op == "call_function":
        return node.target in CHANNELWISE_FUNCTIONS
    return node.op == "call_method" and node.target in CHANNELWISE_METHODS


def _behind_a_convolution(graph: fx.Graph, modules: dict[str, nn.Module]) -> list[fx.Node]:
    """The nodes, in forward order, that see the image through at least one convolution."""
    behind: list[fx.Node] = []
    for node in graph.nodes:
        if any(source in behind or isinstance(_module(source, modules), nn.Conv2d) for source in node.all_input_nodes):
            behind.append(node)
    return behind


def _layer_from(start: fx.Node, modules: dict[str, nn.Module], calls: Counter[str]) -> PrunableLayer | None:
    """The layer whose channels the convolution `start` makes, if they can be pruned."""
    chain: list[fx.Node] = [start]
    norm: str | None = None
    while len(chain[-1].users) == 1:
        node = next(iter(chain[-1].users))
        module = _module(node, modules)
        if node.all_input_nodes != [chain[-1]] or node.args[:1] != (chain[-1],):
            return None
        if _is_convolution(node, modules):
            # A module of weights that is called twice makes or reads other channels, too.
            called = [_name(each) for each in [*chain, node] if each.op == "call_module"]
            if any(calls[name] > 1 for name in called if [*modules[name].parameters()]):
                return None
            channels = cast(nn.Conv2d, modules[_name(start)]).out_channels
            return PrunableLayer(_name(start), _name(node), channels, norm)
        if not _is_channelwise(node, modules):
            return None
        chain.append(node)
        if isinstance(module, NORMS) and module.affine:
            norm = _name(node)
    return None


def _cut(network: nn.Module, nodes: list[fx.Node], cut: int) -> tuple[fx.GraphModule, fx.GraphModule]:
    """The graph before node `cut`, which returns (its input, the rest), and the graph after it, of (output, *rest)."""
    later = set(nodes[cut + 1 :])
    # Weights that are read directly belong to both parts: no need to hand them over.
    weights = [node for node in nodes[:cut] if node.op == "get_attr"]
    rest = [node for node in nodes[:cut] if node not in weights and not later.isdisjoint(node.users)]

    copies: dict[fx.Node, fx.Node] = {}
    first = fx.Graph()
    for node in nodes[:cut]:
        copies[node] = first.node_copy(node, copies.__getitem__)
    first.output((copies[cast(fx.Node, nodes[cut].args[0])], tuple(copies[node] for node in rest)))

    second = fx.Graph()
    copies = {nodes[cut]: second.placeholder("consumed")}
    copies |= {node: second.placeholder(f"rest_{n}") for n, node in enumerate(rest)}
    for node in [*weights, *nodes[cut + 1 :]]:
        copies[node] = second.node_copy(node, copies.__getitem__)
    for graph in (first, second):
        graph.lint()
    return fx.GraphModule(network, first), fx.GraphModule(network, second)
