"""How weights move: the losses, the training loop, deep networks in training and their replicas."""
