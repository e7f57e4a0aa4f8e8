"""The tables of accuracies: the paper's own findings from its own numbers, numpy, and what the renderings say."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsubnet.errors import UserError
from goodsubnet.results.accuracy_table import accuracy_table, as_latex, as_markdown
from goodsubnet.results.reference import paper_table
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import TableSettings


def evaluations(values, dense, examples=(100, 200), iterations=(10, 20, 30), network="net", method="greedy", flops=0.6):
    """Return evaluations from test accuracies (seeds, examples, iterations) of subnetworks and dense networks."""
    values, dense = np.asarray(values, dtype=float), np.broadcast_to(dense, np.shape(values))
    cells = itertools.product(range(values.shape[0]), examples, iterations)
    rows = [
        {"seed": seed, "examples": size, "iteration": iteration, "test_accuracy": value, "dense_test_accuracy": whole}
        for (seed, size, iteration), value, whole in zip(cells, values.ravel(), dense.ravel(), strict=True)
    ]
    names = {"experiment": "e", "dataset": "d", "network": network, "width": np.nan, "method": method}
    frame = pd.DataFrame(rows).assign(**names, flops_ratio=flops, params_ratio=flops + 0.2)
    return frame.assign(pruned_test_accuracy=frame["test_accuracy"] / 2)


def like_the_paper(name: str, per_epoch: int = 100) -> pd.DataFrame:
    """Return evaluations of one seed with exactly the paper's numbers."""
    paper = paper_table(name)
    if name == "table2":
        paper = paper.assign(dataset_size=1_281_167, step=paper["epoch"] * per_epoch)
        paper["method"] = paper["flops_ratio"].map(lambda ratio: f"greedy {ratio:g}")
    frame = paper.rename(columns={"model": "network", "dataset_size": "examples", "step": "iteration"})
    frame = frame.assign(
        test_accuracy=frame["pruned_accuracy"] / 100, dense_test_accuracy=frame["dense_accuracy"] / 100
    )
    fixed = {"experiment": "e", "width": np.nan, "seed": 0, "method": "greedy", "flops_ratio": 0.6, "params_ratio": 0.8}
    frame = frame.assign(**{key: value for key, value in fixed.items() if key not in frame})
    return frame.assign(pruned_test_accuracy=0.5)


def random_table(seed: int = 0, trials: int = 3) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    values, dense = generator.uniform(0.5, 1, (2, trials, 2, 3))
    return evaluations(values, dense)


def test_the_reference_has_the_numbers_of_the_paper():
    table1, table2 = paper_table("table1"), paper_table("table2")
    assert (len(table1), len(table2)) == (24, 12)
    assert not table1.duplicated(["model", "dataset_size", "step"]).any()
    assert not table2.duplicated(["model", "flops_ratio", "epoch"]).any()
    row = table1.query("model == 'resnet34' and dataset_size == 30000 and step == 60000").iloc[0]
    assert (row["pruned_accuracy"], row["dense_accuracy"]) == (92.31, 92.14)
    row = table2.query("model == 'mobilenet_v2' and flops_ratio == 0.4 and epoch == 100").iloc[0]
    assert (row["pruned_accuracy"], row["dense_accuracy"], row["params_ratio"]) == (70.36, 71.70, 0.65)


def test_the_papers_numbers_give_the_papers_winning_tickets():
    # "with MobileNetV2, a winning ticket is discovered on the 10K and 30K sub-datasets in only 40K iterations, while
    # for the 50K sub-dataset a winning ticket is not discovered until 60K iterations" (Wolfe et al., TMLR 2024).
    table = accuracy_table(like_the_paper("table1"), "table1")
    first = table[table["first_winning_ticket"]].set_index(["network", "examples"])["iteration"]
    assert first["mobilenet_v2"].to_dict() == {10_000: 40_000, 30_000: 40_000, 50_000: 60_000}
    assert first["resnet34"].to_dict() == {10_000: 40_000, 30_000: 60_000, 50_000: 60_000}
    np.testing.assert_allclose(table["paper_mean"], table["mean"], rtol=1e-12)
    np.testing.assert_allclose(table["paper_dense"], table["dense_mean"], rtol=1e-12)


def test_table2_is_matched_by_epoch_and_flops():
    frame = like_the_paper("table2", per_epoch=100)
    table = accuracy_table(frame, "table2", iterations_per_epoch=100.2)
    np.testing.assert_allclose(table["paper_mean"], table["mean"], rtol=1e-12)
    assert not table["winning_ticket"].any()
    others = frame.assign(flops_ratio=np.where(frame["flops_ratio"] == 0.6, 0.75, 0.44))
    table = accuracy_table(others, "table2", iterations_per_epoch=100)
    assert table["paper_mean"].notna().to_list() == [ratio < 0.5 for ratio in table["flops_ratio"]]
    small = frame.assign(examples=1000)
    table = accuracy_table(pd.concat([frame, small]), "table2", iterations_per_epoch=100)
    assert set(table.loc[table["paper_mean"].notna(), "examples"]) == {1_281_167}


def test_a_row_keeps_one_flops_ratio_of_the_paper():
    frame = like_the_paper("table2").query("network == 'resnet34' and method == 'greedy 0.6'")
    table = accuracy_table(
        frame.assign(flops_ratio=np.where(frame["iteration"] == 5000, 0.45, 0.6)), "table2", iterations_per_epoch=100
    )
    np.testing.assert_allclose(table["paper_mean"], [0.7168, 0.7256, 0.7265], rtol=1e-12)


def test_only_the_papers_architectures_get_its_numbers():
    frame = like_the_paper("table1").replace({"network": {"resnet34": "small", "mobilenet_v2": "large"}})
    table = accuracy_table(frame, "table1", architectures={"small": "resnet34", "large": "resnet50"})
    known = table["paper_mean"].notna()
    assert set(table.loc[known, "network"]) == {"small"}
    np.testing.assert_allclose(table.loc[known, "paper_mean"], table.loc[known, "mean"], rtol=1e-12)
    assert accuracy_table(like_the_paper("table1"))["paper_mean"].isna().all()
    named = accuracy_table(like_the_paper("table1"), "table1", architectures={"resnet34": "resnet18"})
    assert set(named.loc[named["paper_mean"].notna(), "network"]) == {"mobilenet_v2"}


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_statistics_are_numpys_and_the_first_ticket_is_the_first(seed, trials):
    generator = np.random.default_rng(seed)
    # Few levels, so that ties with the dense network occur.
    values, dense = generator.integers(0, 5, (2, trials, 2, 3)) / 4
    table = accuracy_table(evaluations(values, dense).sample(frac=1, random_state=seed))
    np.testing.assert_allclose(table["mean"], values.mean(axis=0).ravel(), atol=1e-12)
    np.testing.assert_array_equal(table["min"], values.min(axis=0).ravel())
    np.testing.assert_array_equal(table["max"], values.max(axis=0).ravel())
    if trials > 1:
        np.testing.assert_allclose(table["std"], values.std(axis=0, ddof=1).ravel(), atol=1e-12)
        np.testing.assert_allclose(table["dense_std"], np.repeat(dense[..., -1].std(axis=0, ddof=1), 3), atol=1e-12)
    else:
        assert table[["std", "dense_std"]].isna().all(axis=None)
    np.testing.assert_allclose(table["dense_at_checkpoint"], dense.mean(axis=0).ravel(), atol=1e-12)
    # Sums of quarters are exact.
    won = values.sum(axis=0) >= dense[..., -1].sum(axis=0)[:, None]
    np.testing.assert_array_equal(table["winning_ticket"], won.ravel())
    for size in range(2):
        marks = np.flatnonzero(table["first_winning_ticket"].to_numpy().reshape(2, 3)[size])
        assert marks.tolist() == np.flatnonzero(won[size])[:1].tolist()


def test_means_equal_up_to_rounding_are_a_ticket():
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in float64.
    values, dense = np.array([0.3, 0.2, 0.1]).reshape(3, 1, 1), np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1)
    assert accuracy_table(evaluations(values, dense, (100,), (10,)))["first_winning_ticket"].to_list() == [True]


def test_the_fully_trained_network_is_the_last_checkpoint_of_any_method():
    long = evaluations([[[0.5, 0.6, 0.7]]], [[[0.2, 0.4, 0.65]]], (100,))
    short = long[long["iteration"] < 30].assign(method="random")
    table = accuracy_table(pd.concat([short, long]))
    assert table["dense_mean"].unique().tolist() == [0.65]
    assert table.set_index(["method", "iteration"])["first_winning_ticket"].sum() == 1
    assert table["method"].to_list() == ["greedy"] * 3 + ["random"] * 2
    assert (table["mean_before_finetuning"] == table["mean"] / 2).all()
    assert as_markdown(table, "t").count("–") == 1


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda frame: frame.drop(columns="dense_test_accuracy"), {}, "no column 'dense_test_accuracy'"),
        (lambda frame: frame.drop(columns="flops_ratio"), {}, "no column 'flops_ratio'"),
        (lambda frame: frame.iloc[1:], {}, "no test_accuracy for 100 examples, seed 0, iteration 10"),
        (lambda frame: pd.concat([frame, frame.iloc[:1]]), {}, "more than one row"),
        (lambda frame: frame.iloc[:0], {}, "has no rows"),
        (lambda frame: frame.assign(test_accuracy=83.1), {}, "accuracies are shares"),
        (lambda frame: pd.concat([frame, frame.assign(experiment="f")]), {}, "the evaluations hold e, f"),
        (lambda frame: frame, {"reference": "table3"}, "reference is 'table3'; it must be 'table1' or 'table2'"),
        (lambda frame: frame, {"reference": "table2"}, "iterations_per_epoch is None; Table 2 needs it"),
        (lambda frame: frame, {"reference": "table2", "iterations_per_epoch": -1}, "a number above 0"),
    ],
)
def test_what_a_user_must_mend_is_refused(change, arguments, message):
    with pytest.raises(UserError, match=message):
        accuracy_table(change(random_table()), **arguments)


def cells_of(markdown: str) -> list[list[str]]:
    """Return the cells of a Markdown table, without its line of dashes."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return cells[:1] + cells[2:]


def test_markdown_has_the_papers_layout():
    table = accuracy_table(like_the_paper("table1"), "table1")
    text = as_markdown(table, "CIFAR-10 (JPEG)", "table1")
    header, *rows = cells_of(text)
    steps = [f"{step:,} iterations" for step in (20_000, 40_000, 60_000, 80_000)]
    assert header == ["network", "examples", "FLOPs", "parameters", *steps, "dense, fully trained"]
    mobile = [row for row in rows if row[:2] == [r"mobilenet\_v2", "50,000"]]
    numbers = ["86.71 (86.71)", "88.33 (88.33)", "**91.79** (91.79)", "91.77 (91.77)", "91.44 (91.44)"]
    assert mobile == [[r"mobilenet\_v2", "50,000", "60%", "80%", *numbers]]
    assert len(rows) == 6
    assert "CIFAR-10 (JPEG)" in text.splitlines()[0]
    assert "one seed" in text
    assert "In brackets: Table 1 of Wolfe et al." in text


def test_markdown_of_several_seeds_and_methods():
    values = np.array([[[0.80, 0.90, 0.91]], [[0.82, 0.94, 0.95]]])
    frame = evaluations(values, 0.92, (1000,), network="a|b")
    frame["flops_ratio"] = frame["iteration"].map({10: 0.5, 20: 0.61, 30: 0.6})
    text = as_markdown(accuracy_table(pd.concat([frame, frame.assign(method="random", test_accuracy=0.1)])), "x*y")
    header, greedy, other = cells_of(text)
    assert header[:5] == ["network", "examples", "method", "FLOPs", "parameters"]
    ours = ["81.00 ± 1.41", "**92.00 ± 2.83**", "93.00 ± 2.83", "92.00 ± 0.00"]
    assert greedy == [r"a\|b", "1,000", "greedy", "50–61%", "80%", *ours]
    assert other[5:] == ["10.00 ± 0.00"] * 3 + ["92.00 ± 0.00"]
    assert "over 2 seeds" in text
    assert r"x\*y" in text
    assert "Wolfe" not in text
    assert "CIFAR" not in text


def test_without_a_winning_ticket_nothing_is_bold():
    table = accuracy_table(like_the_paper("table2"), "table2", iterations_per_epoch=100)
    text = as_markdown(table, "ImageNet", "table2", 100)
    header, *rows = cells_of(text)
    assert header[5:8] == ["50 epochs", "100 epochs", "150 epochs"]
    assert not any("**" in cell for row in rows for cell in row)
    assert "No winning ticket" in text
    assert r"\textbf" not in as_latex(table, "ImageNet", "table2", 100)


def latex_rows(text: str) -> list[list[str]]:
    """Return the cells of each line of a LaTeX table's body, a cell over n columns as n cells."""
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = []
    for line in body.splitlines():
        found = re.fullmatch(r"(.*) \\\\(\[2pt\])?", line)
        cells = re.split(r"(?<!\\)&", found.group(1)) if found else []
        spans = [re.match(r"\s*\\multicolumn\{(\d+)\}", cell) for cell in cells]
        pairs = zip(cells, spans, strict=True)
        rows.append(
            [part for cell, span in pairs for part in [cell.strip()] + [""] * (int(span[1]) - 1 if span else 0)]
        )
    return [row for row in rows if row]


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_latex_is_a_balanced_fragment_with_the_same_numbers(name):
    per_epoch = 100 if name == "table2" else None
    table = accuracy_table(like_the_paper(name), name, iterations_per_epoch=per_epoch)
    text = as_latex(table, r"50% of CIFAR_10 & {more} \ ~^#$", name, per_epoch)
    plain = re.sub(r"\\[{}]", "", text)
    depths = np.cumsum([(letter == "{") - (letter == "}") for letter in plain])
    assert depths.min() >= 0
    assert depths[-1] == 0
    assert re.findall(r"\\begin\{(\w+)\}", text) == ["table", "tabular", "minipage"]
    assert re.findall(r"\\end\{(\w+)\}", text) == ["tabular", "minipage", "table"]
    assert text.isascii()
    assert not re.search(r"(?<!\\)[_#~^]", text)
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1]
    rows = latex_rows(text)
    assert {len(row) for row in rows} == {len(columns)}
    # Ours and the paper's are the same here, one below the other.
    ours = [[re.sub(r"\\textbf\{(.*)\}", r"\1", cell) for cell in row] for row in rows[2:]]
    count = columns.count("l")
    assert len(ours) == 2 * table.groupby(["network", "method", "examples"]).ngroups
    assert all(above[count:] == below[count:] for above, below in zip(ours[::2], ours[1::2], strict=True))
    assert all(r"\textit{paper}" in row[0] for row in ours[1::2])
    bold = re.findall(r"\\textbf\{([\d.]+)\}", text)
    assert bold == [f"{100 * value:.2f}" for value in table.loc[table["first_winning_ticket"], "mean"]]


def test_latex_shows_the_papers_line_once_for_several_methods():
    frame = like_the_paper("table1")
    table = accuracy_table(pd.concat([frame, frame.assign(method="random")]), "table1")
    text = as_latex(table, "t", "table1")
    assert text.count(r"\textit{paper}") == 6
    assert len(latex_rows(text)) == 2 + 12 + 6
    spread = as_latex(accuracy_table(random_table()), "t")
    assert spread.count(r"$\pm$") == 2 * 4 + 1
    assert r"\textit{paper}" not in spread


def test_scripts_tabulate_and_draw(tmp_path):
    import accuracy_table as tabulate
    import figure as draw

    frame = like_the_paper("table1")
    with Job("collect", tmp_path / "evaluations.csv", TableSettings(), {}) as job:
        job.save(".csv", frame.to_csv(index=False).encode())
    chosen = {"reference": "table1", "architectures": {}, "iterations_per_epoch": None, "title": "CIFAR10"}
    output = tmp_path / "accuracy_table.csv"
    tabulate.main(
        ["--settings", json.dumps(chosen), "--output", str(output), "--table", str(tmp_path / "evaluations.csv")]
    )
    table = accuracy_table(frame, "table1")
    written = pd.read_csv(output)
    assert list(written.columns) == list(table.columns)
    pd.testing.assert_frame_equal(written, table.astype({"width": float}), check_dtype=False, rtol=1e-5)
    assert output.with_suffix(".md").read_text() == as_markdown(table, "CIFAR10", "table1")
    assert output.with_suffix(".tex").read_text() == as_latex(table, "CIFAR10", "table1")
    figure = tmp_path / "accuracy_table_figure.png"
    chosen = {"title": "CIFAR10", "style": {"dpi": 40}}
    draw.main(
        ["--settings", json.dumps(chosen), "--output", str(figure), "--figure", "accuracy", "--tables", str(output)]
    )
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert figure.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
