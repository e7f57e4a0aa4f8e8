"""The numbers that the paper reports for deep networks, to be set beside one's own.

Source: Wolfe, Liao, Wang, Kim and Kyrillidis, "How Much Pre-training Is Enough to Discover a Good Subnetwork?",
Transactions on Machine Learning Research (TMLR), 2024 (arXiv 2108.00259), Tables 1 and 2. Both tables are of greedy
forward selection with fine-tuning.
"""

from importlib import resources

import pandas as pd

from goodsubnet.errors import UserError

FILES = {"table1": "table1_cifar10.csv", "table2": "table2_imagenet.csv"}
WORDS = {
    "table1": "Table 1 of Wolfe et al. (TMLR 2024), greedy forward selection on CIFAR10",
    "table2": "Table 2 of Wolfe et al. (TMLR 2024), greedy forward selection on ImageNet",
}


def paper_table(name: str) -> pd.DataFrame:
    """Return a table of the paper, "table1" or "table2", one row per pruned checkpoint.

    Columns: `model`, the name of the architecture in torchvision; `pruned_accuracy` (after fine-tuning) and
    `dense_accuracy` (fully trained), test accuracies in per cent. Table 1 has `dataset_size` (examples) and `step`
    (iterations of pre-training); Table 2 has `flops_ratio` and `params_ratio` (pruned over dense) and `epoch`.
    Raises `UserError` for another name.
    """
    if name not in FILES:
        raise UserError(f"reference is {name!r}; it must be {' or '.join(map(repr, FILES))}, or empty for none")
    with resources.files(__name__).joinpath(FILES[name]).open(encoding="utf-8") as file:
        return pd.read_csv(file)
