"""The page on stopping says what the code does: its snippet runs, its settings and defaults are the code's."""

import re
from pathlib import Path

import torch
import yaml

from goodsubnet.settings.stopping import DEFAULT_RULES, Stopping

PAGE = (Path(__file__).parents[3] / "docs/stopping.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_the_snippet_runs_and_hears_that_it_is_enough() -> None:
    names: dict = {}
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    # Networks this small wait for one another's threads.
    torch.set_num_threads(1)
    exec(compile(block("python"), "docs/stopping.md", "exec"), names)
    torch.set_num_threads(threads)
    assert names["answer"].enough
    assert names["answer"].dense_accuracy > 0.9
    assert 0 < names["iteration"] < 400


def test_the_settings_of_the_page_are_valid() -> None:
    stopping = Stopping.model_validate(yaml.safe_load(block("yaml"))["stopping"])
    assert set(stopping.rules) == {*DEFAULT_RULES, "patient"} - {"certificate"}


def test_the_defaults_of_the_page_are_those_of_the_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (enough )?.*$", PAGE, re.MULTILINE))
    assert set(rows) == set(DEFAULT_RULES)
    for name, rule in Stopping().rules.items():
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
        for key, value in re.findall(r"`(\w+)` \(([0-9.]+%?)\)", row):
            number = float(value[:-1]) / 100 if value.endswith("%") else float(value)
            assert getattr(rule, key) == number, (name, key)
