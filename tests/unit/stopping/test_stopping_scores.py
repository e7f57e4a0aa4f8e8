"""What rules save and lose, on tables made by hand, and the figure of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goodsubnet.errors import UserError
from goodsubnet.plots.canvas import render
from goodsubnet.plots.stopping import stopping_figure
from goodsubnet.settings.stopping import rule_settings
from goodsubnet.stopping.observation import NOT_FOR_DEEP, Observation
from goodsubnet.stopping.scores import accuracies_of, interval, overview, score_trial, scores
from goodsubnet.theory.text import as_csv

RULES = {
    "plateau": rule_settings({"rule": "plateau", "patience": 1, "improvement": 0.05}),
    "patient": rule_settings({"rule": "plateau", "patience": 9, "improvement": 0.05}),
    "certificate": rule_settings({"rule": "certificate", "margin": 0.1}),
    "fixed": rule_settings({"rule": "fixed_share", "share": 0.75}),
}
ACCURACIES = {0: 0.5, 100: 0.8, 200: 0.9, 300: 0.86, 400: 0.88}


def training(losses: list[float], bound: float | str = NOT_FOR_DEEP) -> list[Observation]:
    passes = {"pruned_loss": 10.0, "bound": 4.0}
    return [
        Observation(100 * number, loss, 0.9, 0.1, 0.9, 0.7, bound, 0.1, [0], 2, passes)
        for number, loss in enumerate(losses)
    ]


def rows(seed: int = 0, **changed) -> list[dict]:
    given = {"observations": training([0.7, 0.5, 0.5, 0.3, 0.2]), "accuracies": ACCURACIES, "rules": RULES}
    names = {"experiment": "x", "network": "n", "width": 7, "examples": 50, "seed": seed, "method": "greedy"}
    return score_trial(names, **{**given, **changed}, total=400, batch=20)


def test_where_each_rule_stops_and_what_came_of_it() -> None:
    found = {row["rule"]: row for row in rows()}
    plateau = found["plateau"]
    assert (plateau["fired"], plateau["stopped_at"], plateau["saved"]) == ("yes", 200, 0.5)
    assert (plateau["regret"], plateau["end_regret"]) == (0, pytest.approx(0.02))
    # Three checkpoints at 10 passes each; 200 iterations of 20 examples, each counted three times.
    assert (plateau["cost"], plateau["cost_share"]) == (30, pytest.approx(30 / 12_000))
    patient = found["patient"]
    assert (patient["fired"], patient["stopped_at"], patient["saved"]) == ("no", 400, 0)
    assert patient["regret"] == patient["end_regret"]
    assert patient["why"].startswith("never enough; at the end: ")
    assert (found["fixed"]["stopped_at"], found["fixed"]["cost"]) == (300, 0)
    assert found["fixed"]["regret"] == pytest.approx(0.04)
    none = found["certificate"]
    assert none["fired"] == NOT_FOR_DEEP
    assert np.isnan([none["stopped_at"], none["saved"], none["regret"], none["cost"]]).all()


def test_a_rule_that_fires_at_the_beginning_has_no_share_of_a_training() -> None:
    (row,) = rows(observations=training([0.7, 0.5], 0.15), rules={"certificate": RULES["certificate"]})
    assert (row["stopped_at"], row["saved"], row["cost"]) == (0, 1, 4)
    assert np.isnan(row["cost_share"])


def test_means_and_intervals_over_seeds() -> None:
    table = pd.DataFrame(
        [row for seed, end in enumerate((0.9, 0.92, 0.97)) for row in rows(seed, accuracies={**ACCURACIES, 400: end})]
    )
    found = scores(table).set_index("rule")
    plateau = found.loc["plateau"]
    regret = np.array([0.0, 0.02, 0.07])
    assert plateau["regret"] == pytest.approx(0.03)
    # t of 97.5% with two degrees of freedom is 4.3027.
    assert plateau["regret_high"] - 0.03 == pytest.approx(4.302653 * regret.std(ddof=1) / 3**0.5)
    assert plateau["regret_low"] + plateau["regret_high"] == pytest.approx(0.06)
    assert (plateau["saved"], plateau["saved_low"], plateau["saved_high"]) == (0.5, 0.5, 0.5)
    assert (plateau["seeds"], plateau["fired"], plateau["note"]) == (3, 3, "")
    assert (found.loc["patient", "fired"], found.loc["certificate", "note"]) == (0, NOT_FOR_DEEP)
    few = scores(table[table["seed"] < 2]).set_index("rule")
    assert few.loc["plateau", "note"] == "too few seeds"
    assert np.isfinite(few.loc["plateau", "regret_low"])
    assert np.isnan(scores(table[table["seed"] < 1])["regret_low"]).all()
    assert interval([1.0])[0] == 1


def test_the_overview_counts_trainings_and_leaves_out_what_is_not_applicable() -> None:
    table = pd.DataFrame(
        {
            **{"experiment": "x", "rule": ["r", "r", "q"], "seeds": [3, 1, 2], "fired": [3, 0, 0]},
            **{"saved": [0.8, 0.0, np.nan], "regret": [0.01, 0.05, np.nan]},
            **{"end_regret": [0.0, 0.0, np.nan], "cost_share": [0.1, 0.3, np.nan]},
        }
    )
    first, second = overview(table).to_dict("records")
    assert (first["trainings"], first["stopped"], second["trainings"]) == (4, 3, 2)
    assert (first["saved"], first["regret"]) == (pytest.approx(0.6), pytest.approx(0.02))
    assert first["cost_share"] == pytest.approx(0.15)
    assert np.isnan(second["saved"])


def test_the_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    trials = generator.standard_normal((4000, 3))
    covered = [low <= 0 <= high for _, low, high in map(interval, trials)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_accuracies_are_those_of_the_trial_and_method() -> None:
    table = pd.DataFrame(
        [
            (network, examples, seed, method, t, 0.1 * t + seed)
            for network in "np"
            for examples in (50, 60)
            for seed in (0, 1)
            for method in ("greedy", "random")
            for t in (0, 1)
        ],
        columns=["network", "examples", "seed", "method", "iteration", "test_accuracy"],
    )
    trial = {"network": "n", "examples": 60, "seed": 1}
    assert accuracies_of(table, trial, "greedy", "test_accuracy") == {0: 1.0, 1: 1.1}
    with pytest.raises(UserError, match="no column 'train_accuracy'"):
        accuracies_of(table, trial, "greedy", "train_accuracy")


def test_the_figure_has_a_mark_a_rule_and_the_good_corner() -> None:
    table = scores(pd.DataFrame([row for seed in range(3) for row in rows(seed)]))
    other = table.assign(network="wide", width=70, saved=table["saved"] / 2)
    small, middle = (table.assign(examples=size, saved=scale * table["saved"]) for size, scale in ((20, 0), (30, 0.5)))
    figure = stopping_figure(pd.concat([table, other, small, middle]), {}, "test_accuracy")
    smallest, second, first = figure.axes
    titles = ["width N = 7, 20 examples", "width N = 70, 50 examples", "width N = 7, 50 examples"]
    assert [axis.get_title() for axis in figure.axes] == titles
    assert {line.get_xdata()[0] for line in smallest.lines if line.get_gid() is None} == {0}
    marks = {tuple(line.get_xydata()[0].round(6)) for line in first.lines if line.get_gid() is None}
    assert marks == {(50.0, 0.0), (0.0, 2.0), (25.0, 4.0)}
    assert [line.get_markerfacecolor() for line in first.lines if line.get_gid() is None].count("white") == 1
    assert any(patch.get_gid() == "good corner" for patch in first.collections)
    (end,) = [line for line in second.lines if line.get_gid() == "end"]
    assert end.get_xydata().tolist() == [[0, pytest.approx(2)]]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["plateau", "patient", "fixed", "hollow: did not stop every training", "trained to the end"]
    assert render(figure, "png").startswith(b"\x89PNG")
    with pytest.raises(UserError, match="no column 'regret'"):
        stopping_figure(table.drop(columns="regret"), {}, "test_accuracy")


@pytest.mark.parametrize("networks", [1, 2, 3, 4])
def test_the_title_fits_its_figure(networks: int) -> None:
    table = scores(pd.DataFrame([row for seed in range(3) for row in rows(seed)]))
    parts = [table.assign(network=f"n{number}", width=7 + number) for number in range(networks)]
    figure = stopping_figure(pd.concat(parts), {}, "train_accuracy")
    figure.draw_without_rendering()
    title = figure.texts[0].get_window_extent()
    assert figure.bbox.x0 <= title.x0 < title.x1 <= figure.bbox.x1


def test_the_tables_survive_their_files_without_a_width(tmp_path: Path) -> None:
    """Of deep networks, where one rule is not applicable: written, read and drawn as the scripts do it."""
    table = pd.DataFrame([{**row, "width": None} for seed in range(3) for row in rows(seed)])
    stops = table.astype({"stopped_at": "Int64", "width": "Int64"})
    for name, each in (("stops", stops), ("scores", scores(stops))):
        (tmp_path / name).write_bytes(as_csv(each))
    read = pd.read_csv(tmp_path / "stops")
    assert read.loc[read["rule"] == "plateau", "stopped_at"].tolist() == [200] * 3
    assert set(read.loc[read["rule"] == "certificate", "fired"]) == {NOT_FOR_DEEP}
    figure = stopping_figure(pd.read_csv(tmp_path / "scores"), {}, "test_accuracy")
    assert figure.axes[0].get_title() == "n, 50 examples"
