"""The callback in training loops that are not ours: it answers, and leaves everything as it was."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import goodsubnet
from goodsubnet.errors import UserError
from goodsubnet.networks.two_layer import initial_weights


class TheirNetwork(nn.Module):
    """A plain CNN with dropout, and with norms in one of its two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU()),
            *(nn.Conv2d(12, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        )
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(16, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.features(images).flatten(1)))


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images[:300].reshape(-1, 1, 8, 8) / 16, dtype=torch.float32), torch.tensor(labels[:300])


def test_a_training_loop_hears_when_it_is_enough(digits: tuple) -> None:
    images, labels = digits
    torch.manual_seed(0)
    model = TheirNetwork()
    watch = goodsubnet.Watch(images[:128], labels[:128], rule={"rule": "plateau", "patience": 1})
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    judged = []
    for iteration in range(0, 201, 20):
        judged.append(watch(iteration, model))
        if judged[-1].enough:
            break
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    assert judged[0].dense_accuracy < 0.4 < judged[-1].dense_accuracy
    assert judged[-1].enough
    assert judged[-1].iteration > 0
    assert judged[-1].why
    assert all(0 <= each.accuracy <= 1 and each.loss > 0 for each in judged)


def test_a_call_changes_nothing(digits: tuple) -> None:
    images, labels = digits
    model = TheirNetwork().train()
    model.features[1].eval()
    nn.functional.cross_entropy(model(images), labels).backward()
    model.head.bias.requires_grad_(False)
    modes = [module.training for module in model.modules()]
    state = copy.deepcopy(model.state_dict())
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    parameters = list(model.parameters())
    torch_state, numpy_state = torch.get_rng_state(), np.random.mtrand._rand.get_state()[1].copy()
    goodsubnet.Watch(images[:64], labels[:64])(0, model)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.mtrand._rand.get_state()[1], numpy_state)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(parameter.grad, gradients[name]) for name, parameter in model.named_parameters())
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))
    assert [parameter.requires_grad for parameter in parameters] == [True] * (len(parameters) - 1) + [False]


def test_weights_of_a_two_layer_network(digits: tuple) -> None:
    images, labels = digits
    rows, targets = images.flatten(1).numpy(), (labels.numpy() >= 5).astype(int)
    initial = initial_weights(60, 64, "scaled", np.random.default_rng(0))
    watch = goodsubnet.Watch(rows, targets, {"rule": "weight_distance"}, steps=20)
    # Its weights grow by a tenth, then hardly at all.
    answers = [
        watch(t, {name: factor * array for name, array in initial.items()})
        for t, factor in ((0, 1.0), (100, 1.1), (200, 1.101))
    ]
    assert [answer.enough for answer in answers] == [False, False, True]
    assert answers[0].accuracy > 0.5
    with pytest.raises(UserError, match=r"^steps: input should be greater than or equal to 1, got 0$"):
        goodsubnet.Watch(rows, targets, steps=0)(0, initial)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rule": "plateu"}, "rule 'plateu' is not known; name one of plateau"),
        ({"rule": {"rule": "plateau", "patience": 0}}, "rule.patience"),
        ({"rule": "fixed_share"}, "fixed_share needs the planned iterations"),
    ],
)
def test_wrong_arguments_are_refused_in_words(digits: tuple, arguments: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        goodsubnet.Watch(*(each[:32] for each in digits), **arguments)(0, TheirNetwork())


def test_what_cannot_be_watched_is_said(digits: tuple) -> None:
    images, labels = (each[:32] for each in digits)
    with pytest.raises(UserError, match="no layer that can be pruned"):
        goodsubnet.Watch(images, labels)(0, nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    broken = TheirNetwork()
    broken.head.bias.data[0] = float("nan")
    with pytest.raises(UserError, match="diverged"):
        goodsubnet.Watch(images, labels)(0, broken)
    with pytest.raises(UserError, match="32 images and 31 labels"):
        goodsubnet.Watch(images, labels[:31])
    with pytest.raises(UserError, match="must be"):
        goodsubnet.Watch(images.flatten(1), labels > 4)(0, {"a": np.zeros((5, 3)), "b": np.zeros(5)})
    watch = goodsubnet.Watch(images, labels)
    watch(10, TheirNetwork())
    with pytest.raises(UserError, match="in order"):
        watch(10, TheirNetwork())
