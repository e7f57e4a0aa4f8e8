"""Checkpoints that were trained elsewhere: what is read of them, what is refused, and what is written."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from goodsubnet import cli
from goodsubnet.errors import UserError
from goodsubnet.exchange.foreign import checkpoint_tensors, read_state
from goodsubnet.exchange.importing import import_checkpoints
from goodsubnet.networks.deep import initial_network
from goodsubnet.networks.files import decode, encode
from goodsubnet.runtime import artifacts
from goodsubnet.settings import load_configuration
from goodsubnet.settings.networks import TwoLayerArchitecture, network_settings

torch.set_num_threads(1)

EXAMPLE = (Path(__file__).parents[3] / "examples/own_network/network.py").read_text()
OWN = {"kind": "deep", "file": "mine.py", "function": "build"}
BY_NAME = {"kind": "deep", "architecture": "resnet8", "form": "cifar", "width_multiplier": 0.25}
TWO_LAYER = TwoLayerArchitecture(kind="two_layer", width=4, activation="relu", initialisation="scaled")
NORMALISED = {"mean": [0.5], "std": [0.25]}
GIVEN = {"classes": 10, **NORMALISED, "image": (1, 8, 8)}
PATTERN = "in/examples-{examples}/iteration-{iteration}.safetensors"
CONFIGURATION = {
    "targets": ["deep"],
    "datasets": {
        "digits": {"source": "digits"},
        "halves": {"source": "digits", "groups": [list("01234"), list("56789")]},
    },
    "networks": {
        "own": {"kind": "deep", "file": "mine.py", "checkpoints": PATTERN, **NORMALISED},
        "here": {"kind": "deep", "file": "mine.py"},
        "small": {"kind": "two_layer", "width": 4, "checkpoints": "in/{network}/{iteration}.safetensors"},
    },
    "methods": {
        "layers": {"algorithm": "layer_random", "widths_from": "greedy"},
        "greedy": {"algorithm": "layer_greedy", "tolerance": 0.1},
        "magnitude": {"algorithm": "magnitude", "steps": 3},
    },
    "experiments": {
        "deep": {
            **{
                "dataset": "digits",
                "networks": ["own", "here"],
                "methods": ["greedy"],
                "examples": [100],
                "seeds": [0],
            },
            "pretrain": {
                **{"loss": "cross_entropy", "iterations": 5, "checkpoints": [0, 5], "learning_rate": 0.1},
                "schedule": "constant",
            },
        },
        "two": {
            **{"dataset": "halves", "networks": ["small"], "methods": ["magnitude"], "examples": [100], "seeds": [0]},
            "pretrain": {"iterations": 5, "checkpoints": [0, 5], "learning_rate": 0.1},
        },
    },
}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(EXAMPLE)


def configuration(**changed):
    settings = copy.deepcopy(CONFIGURATION)
    for name, keys in changed.items():
        settings["networks"][name] |= keys
    return load_configuration(settings)


def described(settings, **more):
    """What a network is, of settings as the configuration holds them."""
    return network_settings({**settings, **more}).as_architecture()


def trained(architecture=OWN, seed=0):
    """A network whose norms are not as they begin."""
    architecture = described(architecture)
    network = initial_network(architecture, 10, *NORMALISED.values(), "e", "n", seed)
    network.train()(torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    return network.eval(), {"architecture": architecture, "classes": 10, "image": [1, 8, 8]}


def assert_same(found, expected):
    assert artifacts.encode_tensors(found) == artifacts.encode_tensors(expected)


@pytest.mark.parametrize("architecture", [OWN, BY_NAME], ids=["own", "by name"])
def test_a_state_dict_becomes_what_the_chain_keeps_of_the_network(architecture):
    network, description = trained(architecture)
    state = network.network.state_dict()
    expected = encode(network, description)
    compiled = {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()}
    forms = {
        "plain.pt": state,
        "wrapped.pt": {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        "model.pt": {"model": {f"module.{name}": tensor for name, tensor in state.items()}, "step": 5},
        "compiled.pt": compiled,
    }
    # Where it is taken from is none of what the network is.
    settings, architecture = described(architecture, checkpoints=PATTERN), described(architecture)
    for name, content in forms.items():
        torch.save(content, name)
        assert_same(checkpoint_tensors(name, settings, **GIVEN), expected)
    for name, content in {"plain.safetensors": state, "prefixed.safetensors": compiled}.items():
        Path(name).write_bytes(artifacts.encode_tensors(content))
        assert_same(checkpoint_tensors(name, architecture, **GIVEN), expected)
    momentum = {"momentum.network.x": np.ones(3, np.float32), "iteration": np.array([5])}
    Path("chain.safetensors").write_bytes(artifacts.encode_tensors({**expected, **momentum}))
    assert_same(checkpoint_tensors("chain.safetensors", architecture, **GIVEN), expected)
    torch.save({name: t.half() if t.is_floating_point() else t for name, t in state.items()}, "half.pt")
    halved = decode(checkpoint_tensors("half.pt", architecture, **GIVEN))[0].network.state_dict()
    for name, tensor in state.items():
        assert halved[name].dtype == tensor.dtype
        torch.testing.assert_close(halved[name].double(), tensor.double(), rtol=1e-3, atol=1e-6)


def test_a_two_layer_network_is_two_tensors():
    weights = {"a": torch.randn(4, 64), "b": torch.randn(4)}
    torch.save(weights, "x.pt")
    found = checkpoint_tensors("x.pt", TWO_LAYER, **GIVEN)
    assert_same(found, {name: tensor.numpy() for name, tensor in weights.items()})
    Path("x.safetensors").write_bytes(artifacts.encode_tensors({**weights, "iteration": np.array([5])}))
    assert_same(checkpoint_tensors("x.safetensors", TWO_LAYER, **GIVEN), found)
    with pytest.raises(UserError, match=r"tensor a has the shape \(4, 64\), and that of the network is \(5, 64\)"):
        checkpoint_tensors("x.pt", TWO_LAYER.model_copy(update={"width": 5}), **GIVEN)
    with pytest.raises(UserError, match=r"lacks a, b and has 0\.0\.weight, 0\.1\.bias, .* and \d+ more, which the"):
        torch.save(trained()[0].network.state_dict(), "deep.pt")
        checkpoint_tensors("deep.pt", TWO_LAYER, **GIVEN)


def changed(state, **tensors):
    state = {**state, **{name.replace("_", "."): tensor for name, tensor in tensors.items()}}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: changed(s, **{"6_bias": None}), r"x\.pt is not of this network: it lacks 6\.bias"),
        (lambda s: changed(s, extra=torch.ones(1)), "it has extra, which the network has not"),
        (
            lambda s: changed(s, **{"6_bias": torch.ones(3)}),
            r"tensor 6\.bias has the shape \(3,\), and that .* \(10,\)",
        ),
        (lambda s: changed(s, **{"6_bias": torch.ones(10, dtype=torch.int64)}), r"6\.bias is int64, not float32"),
        (lambda s: changed(s, **{"6_bias": torch.full((10,), torch.nan)}), r"6\.bias has values that are not finite"),
        (lambda s: changed(s, **{"6_bias": torch.ones(10) * 1j}), r"6\.bias is sparse, quantised, complex"),
        (
            lambda s: {"weights": s},
            "weights is OrderedDict, not a tensor; save the state alone, or under one of state_",
        ),
        (lambda s: {**s, "lr": 0.1}, "lr is float, not a tensor"),
        (lambda s: [*s.values()], r"x\.pt holds no state dict \(list\)"),
        (lambda s: {}, r"x\.pt holds no state dict \(dict\)"),
        (lambda s: nn.Linear(2, 3), r"x\.pt holds more than tensors, .* nothing else is read; save the state alone"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named_with_its_tensor(change, said):
    torch.save(change(trained()[0].network.state_dict()), "x.pt")
    with pytest.raises(UserError, match=said) as error:
        checkpoint_tensors("x.pt", described(OWN), **GIVEN)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


class Trap:
    def __reduce__(self):
        return open, ("sprung", "w")


def test_no_pickle_is_run():
    torch.save({"state_dict": {"a": Trap()}}, "x.pt")
    with pytest.raises(UserError, match="holds more than tensors"):
        read_state("x.pt")
    assert not Path("sprung").exists()


def test_a_file_that_is_none():
    torch.save(trained()[0].network.state_dict(), "x.pt")
    content = Path("x.pt").read_bytes()
    for damaged in (b"", b"some text, and no checkpoint", content[:1000], content[:-30]):
        Path("cut.pt").write_bytes(damaged)
        with pytest.raises(UserError, match=r"^cut\.pt (is not a readable|holds more than tensors)") as error:
            read_state("cut.pt")
        assert "\n" not in str(error.value)
    Path("cut.safetensors").write_bytes(artifacts.encode_tensors({"a": np.ones(3)})[:-1])
    with pytest.raises(UserError, match=r"cut\.safetensors is not a readable safetensors file"):
        read_state("cut.safetensors")
    for path, said in (("nowhere.pt", "No such file"), (".", "Is a directory")):
        with pytest.raises(UserError, match=said):
            read_state(path)


def test_a_checkpoint_of_the_chain_must_be_of_this_network():
    network, description = trained()
    tensors = encode(network, description)
    Path("x.safetensors").write_bytes(artifacts.encode_tensors(tensors))
    with pytest.raises(UserError, match=r"x\.safetensors is of another network: its classes is 10, not 9"):
        checkpoint_tensors("x.safetensors", described(OWN), **{**GIVEN, "classes": 9})
    pruned = encode(network, {**description, "pruning": {}})
    Path("x.safetensors").write_bytes(artifacts.encode_tensors(pruned))
    with pytest.raises(UserError, match="is pruned already"):
        checkpoint_tensors("x.safetensors", described(OWN), **GIVEN)


def test_importing_writes_the_networks_tensors_and_says_where_they_come_from(capsys):
    network, _ = trained()
    state = network.network.state_dict()
    for iteration in (0, 5):
        path = Path(f"runs/examples-100/net_{iteration}.pt")
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
    Path("my.yaml").write_text(yaml.safe_dump(CONFIGURATION))
    paths = ["runs/examples-100/net_0.pt", "runs/examples-100/net_5.pt"]
    cli.main(["import", *paths, "--configuration", "my.yaml", "--network", "own"])
    made = [f"in/examples-100/iteration-{iteration}.safetensors" for iteration in (0, 5)]
    assert capsys.readouterr().out.split() == [
        word for pair in zip(paths, made, strict=True) for word in (pair[0], "->", pair[1])
    ]
    for source, place in zip(paths, made, strict=True):
        assert artifacts.verify(place)
        assert_same(artifacts.map_tensors(place), {name: tensor.numpy() for name, tensor in state.items()})
        provenance = json.loads(artifacts.sidecar(place).read_text())
        assert provenance["source"] == {
            "name": Path(source).name,
            "sha256": artifacts.sha256(source),
            "done": ["read by torch with weights_only", "taken from under state_dict", "prefix module. removed"],
        }
    # Again, and by other means, the same bytes; a file that is not an import's is left alone.
    before = Path(made[0]).read_bytes()
    import_checkpoints([Path(made[1])], configuration(), "own", numbers={"iteration": 0})
    assert Path(made[0]).read_bytes() == before
    for taken in (artifacts.sidecar(made[0]).unlink, lambda: artifacts.sidecar(made[0]).write_text("{}")):
        taken()
        with pytest.raises(UserError, match=r"iteration-0\.safetensors is there and was not imported"):
            import_checkpoints([Path(paths[0])], configuration(), "own")
    assert Path(made[0]).read_bytes() == before


def test_importing_asks_for_what_is_not_said():
    torch.save(trained()[0].network.state_dict(), "net.pt")
    torch.save(trained()[0].network.state_dict(), "net-5.pt")

    def bring(*paths, network="own", settings=None, **arguments):
        return import_checkpoints([Path(path) for path in paths], settings or configuration(), network, **arguments)

    numbers = {"examples": 100, "iteration": 5}
    for path, given, said in (
        ("net.pt", {"examples": 100}, r"net\.pt: its iteration is not in its name; give --iteration"),
        ("net.pt", {"iteration": 5}, r"net\.pt: its examples is not in its name; give --examples"),
    ):
        with pytest.raises(UserError, match=said):
            bring(path, numbers=given)
    with pytest.raises(UserError, match="--iteration: 5 is given for 2 checkpoints"):
        bring("net.pt", "net-5.pt", numbers=numbers)
    with pytest.raises(UserError, match=r"net-5\.pt and net-5\.pt would both become in/examples-100/iteration-5"):
        bring("net-5.pt", "net-5.pt", numbers={"examples": 100})
    with pytest.raises(UserError, match=r"'nobody' is not under `networks` \(there: here, own, small\)"):
        bring("net.pt", network="nobody")
    with pytest.raises(UserError, match=r"networks\.here has no key checkpoints"):
        bring("net.pt", network="here", numbers=numbers)
    with pytest.raises(UserError, match="--experiment: two does not use own; these do: deep"):
        bring("net.pt", experiment="two", numbers=numbers)
    with pytest.raises(UserError, match=r"\{width\} is no wildcard"):
        bring("net.pt", output="in/{width}/{iteration}.safetensors", numbers=numbers)
    assert not Path("in").exists()
    assert bring("net.pt", network="here", output="there/", numbers=numbers) == [Path("there/iteration-5.safetensors")]
    weights = {"a": torch.zeros(4, 64), "b": torch.zeros(4)}
    torch.save(weights, "w-5.pt")
    (made,) = bring("w-5.pt", network="small")
    assert made == Path("in/small/5.safetensors")
    assert_same(artifacts.map_tensors(made), {name: tensor.numpy() for name, tensor in weights.items()})
    Path("mine.py").write_text(EXAMPLE.replace("Linear(64, classes)", "Linear(64, 7)"))
    with pytest.raises(UserError, match=r"the network returns \(2, 7\) for 2 images of 10 classes"):
        bring("net-5.pt", numbers={"examples": 100})


@pytest.mark.parametrize(
    ("network", "keys", "said"),
    [
        ("own", {"architecture": "resnet8"}, "give either architecture, the name of a network, or file"),
        ("own", {"file": None}, "give either architecture, the name of a network, or file"),
        ("own", {"form": "cifar"}, "form: is for networks by name"),
        ("own", {"width_multiplier": 1.0}, "width_multiplier: is for networks by name"),
        ("own", {"file": None, "architecture": "resnet18", "function": "f"}, "function: is for a network from a file"),
        ("own", {"std": None}, "mean and std belong together"),
        ("own", {"checkpoints": None}, "mean, std: a network that is trained here is given the data's own"),
        ("own", {"mean": [0.5, 0.5]}, "mean has 2 numbers, and std has 1"),
        (
            "own",
            {"mean": [0.5] * 3, "std": [1] * 3},
            "networks.own.mean: has 3 numbers, and the images of digits have 1",
        ),
        ("own", {"std": [0]}, "networks.own.std"),
        ("small", {"mean": [0.5]}, "networks.small.mean: unknown key here"),
        ("small", {"checkpoints": "x.safetensors"}, "names the same file for all iterations; put {iteration} into it"),
        ("small", {"checkpoints": "{iteration"}, "write {iteration} where the number of iterations stands"),
        ("small", {"checkpoints": "{iteration}-{width}.safetensors"}, "may have the wildcards {experiment}, {network}"),
        ("small", {"checkpoints": "{iteration:03}.safetensors"}, "may have the wildcards"),
        ("small", {"checkpoints": "{}{iteration}.safetensors"}, "may have the wildcards"),
        ("small", {"checkpoints": "{iteration}.pt"}, "a file's name ends with .safetensors"),
        ("small", {"checkpoints": "v1.{iteration}.safetensors"}, "has no other dot"),
        ("small", {"checkpoints": "{network}-{iteration}.safetensors"}, "which belong into its folders"),
    ],
)
def test_a_configuration_that_does_not_fit(network, keys, said):
    with pytest.raises(UserError) as error:
        configuration(**{network: keys})
    assert said in str(error.value)


def test_a_missing_file_of_a_network_is_found_by_check(capsys):
    Path("my.yaml").write_text(yaml.safe_dump(CONFIGURATION))
    cli.main(["check", "my.yaml"])
    assert "my.yaml is valid" in capsys.readouterr().out
    Path("mine.py").write_text("def other(): pass\n")
    with pytest.raises(SystemExit, match=r"error: networks\.own\.file: mine\.py has no function build"):
        cli.main(["check", "my.yaml"])
