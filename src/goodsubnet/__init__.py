"""How long must a network be trained before it can be pruned well?"""


def load_network(path):
    """The deep network in a .safetensors file of the chain, dense or pruned: a torch module in evaluation mode.

    It takes images in [0, 1], (batch, channels, height, width), and returns logits, (batch, classes).
    Raises goodsubnet.errors.UserError if there is no deep network in the file.
    """
    # torch is slow to import, and most of the package does without.
    from goodsubnet.networks.files import load_network

    return load_network(path)


def __getattr__(name):
    """`Watch`, the callback for training loops, imported when it is asked for: its settings need pydantic."""
    if name == "Watch":
        from goodsubnet.stopping.callback import Watch

        return Watch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
