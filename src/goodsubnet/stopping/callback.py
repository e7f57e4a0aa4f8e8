"""Inside a training loop: look at the network now and then, and hear whether it is enough."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from goodsubnet.errors import UserError
from goodsubnet.settings.faults import explain
from goodsubnet.settings.stages import ProbeSelection
from goodsubnet.settings.stopping import DEFAULT_RULES, checked_rule
from goodsubnet.stopping.judging import Judge, Judgement

if TYPE_CHECKING:
    from torch import nn

    from goodsubnet.networks.two_layer import Array
    from goodsubnet.stopping.observation import Observation

LABELS = {"logistic": (0, 1), "squared": (-1, 1)}


class Watch:
    """watch = Watch(images, labels, rule={"rule": "plateau", "patience": 3}), then watch(iteration, model).enough

    Probe: some of the training examples, a thousand say. For a torch model that returns logits, what the model takes
    (examples, C, H, W) and the class of each, (examples,). For weights {"a": (N, d), "b": (N,)} of a two-layer network,
    rows (examples, d) and labels 0 and 1 (or -1 and 1 for the squared loss).

    rule: a rule with its keys, or the name of one as it is by default. total: planned iterations, where a rule asks.
    share: of each layer's channels that the subnetwork of a deep network keeps. steps, loss, activation: of a two-layer
    network: selection steps, "logistic" or "squared", "relu" or "tanh". initial: the weights before training (a model's
    `state_dict()`, or {"a", "b"}); those of the first call, where it is None.

    A call leaves the model as it is, its modes, gradients and hooks too, draws nothing random, and costs about three
    passes of the probe. It raises UserError where the model cannot be pruned or its weights are not finite numbers.
    """

    def __init__(
        self,
        probe_images: "Array",
        probe_labels: "Array",
        rule: Mapping[str, object] | str = "plateau",
        *,
        total: int | None = None,
        share: float = 0.5,
        steps: int = 200,
        loss: str = "logistic",
        activation: str = "relu",
        initial: "Mapping[str, Array] | None" = None,
    ) -> None:
        if len(probe_images) != len(probe_labels) or not len(probe_labels):
            raise UserError(
                f"the probe has {len(probe_images)} images and {len(probe_labels)} labels; give one of each"
            )
        if isinstance(rule, str) and rule not in DEFAULT_RULES:
            raise UserError(f"rule {rule!r} is not known; name one of {', '.join(DEFAULT_RULES)}, or give its keys")
        try:
            settings = checked_rule("rule", DEFAULT_RULES[rule] if isinstance(rule, str) else rule)
        except ValueError as error:
            raise UserError(str(error)) from None
        self._judge = Judge(settings, total)
        self._images, self._labels = probe_images, probe_labels
        self._share, self._steps, self._loss, self._activation = share, steps, loss, activation
        self._initial = initial

    def __call__(self, iteration: int, model: "nn.Module | Mapping[str, Array]") -> Judgement:
        """model: a torch module, or the weights of a two-layer network. iteration: larger than in the call before."""
        try:
            if isinstance(model, Mapping):
                return self._judge(self._two_layer(iteration, model))
            return self._judge(self._deep(iteration, model))
        except ValidationError as error:
            raise UserError("; ".join(explain(error))) from None
        except ValueError as error:
            raise UserError(str(error)) from None

    def _two_layer(self, iteration: int, given: "Mapping[str, Array]") -> "Observation":
        from goodsubnet.stopping.two_layer import observe

        weights = {name: np.array(given[name], np.float32) for name in "ab"}
        inputs, targets = (np.asarray(each, np.float32) for each in (self._images, self._labels))
        if len(weights["a"]) != len(weights["b"]) or weights["a"].shape[1:] != inputs.shape[1:]:
            raise UserError(
                f"a is {weights['a'].shape}, b {weights['b'].shape}, the probe {inputs.shape}; they must be (N, d), "
                "(N,) and (examples, d)"
            )
        if not np.isin(targets, LABELS[self._loss]).all():
            raise UserError(f"labels of the {self._loss} loss are {LABELS[self._loss]}")
        if self._initial is None:
            self._initial = weights
        return observe(
            weights,
            inputs,
            targets,
            {name: self._initial[name] for name in "ab"},
            iteration,
            activation=self._activation,
            loss=self._loss,
            selection=ProbeSelection(steps=self._steps),
        )

    def _deep(self, iteration: int, model: "nn.Module") -> "Observation":
        import torch

        from goodsubnet.stopping.deep import observe, weights_of

        if self._initial is None:
            self._initial = weights_of(model)
        initial = {name: self._initial[name] for name, _ in model.named_parameters()}
        images, labels = torch.as_tensor(self._images), torch.as_tensor(self._labels)
        return observe(model, images, labels, initial, iteration, share=self._share)
