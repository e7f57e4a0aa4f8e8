"""Only what changed runs again: dry runs after a run, with one thing changed."""

import os
import shutil
from pathlib import Path

import pytest
from project import Project

# What follows the evaluations whenever one of them was made or remade.
TABLES = {"plan": 1, "collect": 1, "answers": 1, "required_pretraining": 1}
TABLES |= {"draw_answers": 1, "draw_figure1": 1, "draw_curves": 1}
TABLES |= {"stopping": 1, "draw_stopping": 1}
TABLES |= {"claims": 1, "verdict": 1}
# What greedy selection adds to that.
THEORY = {"bounds": 1, "thresholds": 1, "draw_bounds": 1, "draw_terms": 1, "draw_thresholds": 1}
# What a second method adds.
METHODS = {"compare_methods": 1, "draw_methods": 1}


def observed(checkpoints: int) -> dict[str, int]:
    """What new checkpoints add to that."""
    return {"observe": checkpoints, "plan": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run, with a copy of the code of its own that a test may edit."""
    made = Project.with_own_code(tmp_path_factory.mktemp("finished"))
    made.snakemake()
    return made


@pytest.fixture
def run(finished: Project, tmp_path: Path) -> Project:
    """The finished run, for this test alone."""
    return finished.copied(tmp_path / "run")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_nothing_to_do_after_a_run(run: Project) -> None:
    assert run.plan() == {}


def test_a_longer_run_adds_only_new_segments(run: Project) -> None:
    run.experiment["pretrain"]["iterations"] = 30
    assert run.plan() == {"pretrain": 2, "prune": 2, "evaluate": 2, **TABLES, **observed(2)}


def test_a_new_seed_adds_only_its_own(run: Project) -> None:
    run.experiment["seeds"] = [0, 1]
    assert run.plan() == {"subset": 2, "pretrain": 6, "prune": 6, "evaluate": 6, **TABLES, **observed(6)}


def test_a_new_size_adds_only_its_own(run: Project) -> None:
    run.experiment["examples"] = [20, 30, 40]
    assert run.plan() == {"subset": 1, "pretrain": 3, "prune": 3, "evaluate": 3, **TABLES, **observed(3)}


def test_a_new_width_adds_only_its_own(run: Project) -> None:
    run.settings["networks"]["width-30"] = {"kind": "two_layer", "width": 30}
    run.experiment["networks"] = ["width-20", "width-30"]
    assert run.plan() == {"pretrain": 6, "prune": 6, "evaluate": 6, **TABLES, **observed(6)}


def test_a_new_method_adds_only_its_own(run: Project) -> None:
    run.experiment["methods"] = ["random", "magnitude"]
    run.settings["methods"]["magnitude"] = {"algorithm": "magnitude", "steps": 5}
    assert run.plan() == {"prune": 6, "evaluate": 6, **TABLES, **METHODS, "plan": 2}


def test_greedy_selection_brings_the_theory_along(run: Project) -> None:
    run.experiment["methods"] = ["random", "greedy"]
    assert run.plan() == {"prune": 6, "evaluate": 6, "terms": 6, **TABLES, **THEORY, **METHODS, "plan": 3}


def test_more_steps_prune_again_and_train_nothing(run: Project) -> None:
    run.settings["methods"]["random"]["steps"] = 6
    assert run.plan() == {"prune": 6, "evaluate": 6, **TABLES}


def test_a_changed_rate_trains_again(run: Project) -> None:
    run.experiment["pretrain"]["learning_rate"] = 0.1
    assert run.plan() == {"pretrain": 6, "prune": 6, "evaluate": 6, **TABLES, **observed(6)}


def test_two_values_that_swap_run_their_stage_again(run: Project) -> None:
    """As a set of values the parameters stay the same: `scaled` and `plain` change places with others."""
    pretrain = run.experiment["pretrain"]
    pretrain["batch_size"], run.settings["threads"] = 1, {"pretrain": 8}
    # A run made with batch 8 and one thread; the two numbers swap.
    assert run.plan()["pretrain"] == 6


def test_the_selections_code_prunes_again_and_trains_nothing(run: Project) -> None:
    run.experiment["methods"] = ["random", "greedy"]
    run.snakemake()
    edit(run.code / "src/goodsubnet/pruning/methods/greedy.py", "candidates.loss,", "str(candidates.loss),")
    assert run.plan() == {"prune": 6, "evaluate": 6, "terms": 6, **TABLES, **THEORY, **METHODS, "plan": 3}
    # The code that every method reaches prunes with both of them.
    edit(run.code / "src/goodsubnet/selection/losses.py", "import numpy as np", "import numpy as np\n\nUNUSED = 1")
    everything = {"prune": 12, "evaluate": 12, "terms": 6, "observe": 6, **TABLES, **THEORY, **METHODS}
    assert run.plan() == {**everything, "plan": 4}


def test_the_code_of_a_plot_only_redraws(run: Project) -> None:
    edit(run.code / "src/goodsubnet/plots/figures/curves.py", '["evaluations"],', '["evaluations"].copy(),')
    assert run.plan() == {"draw_curves": 1, "verdict": 1}


def test_colours_only_redraw(run: Project) -> None:
    run.settings["figures"] = {"colormap": "cividis"}
    drawn = ("draw_answers", "draw_figure1", "draw_curves", "draw_stopping", "verdict")
    assert run.plan() == dict.fromkeys(drawn, 1)


def test_another_margin_only_answers_anew(run: Project) -> None:
    run.settings["answer"] = {"margin": 0.05}
    assert run.plan() == {"answers": 1, "draw_answers": 1, "verdict": 1}


def test_a_rule_is_scored_and_nothing_is_observed_again(run: Project) -> None:
    scored = {"stopping": 1, "draw_stopping": 1, "verdict": 1}
    run.settings["stopping"]["rules"] = {"patient": {"rule": "plateau", "patience": 5}}
    assert run.plan() == scored
    run.settings["stopping"]["rules"] = {"plateau": {"rule": "plateau", "improvement": 0.5}, "certificate": None}
    assert run.plan() == scored
    run.settings["stopping"] = {"steps": 5}
    edit(run.code / "src/goodsubnet/stopping/rules/plateau.py", "best, since = seen, 0", "since, best = 0, seen")
    assert run.plan() == scored
    run.settings["stopping"]["probe"] = 16
    assert run.plan() == {"observe": 6, "plan": 1, **scored}


def test_of_two_checkpoints_nothing_is_watched(run: Project) -> None:
    run.experiment["pretrain"]["checkpoints"] = [10, 20]
    assert not {"observe", "stopping", "draw_stopping"} & run.plan().keys()


def test_comments_and_docstrings_run_nothing(run: Project) -> None:
    for path in [*run.code.glob("src/goodsubnet/**/*.py"), *run.code.glob("scripts/*.py")]:
        text = path.read_text()
        assert text.startswith('"""'), f"{path} has no docstring"
        path.write_text('"""Another docstring, ' + text[3:] + "\n# Another comment\n")
    assert run.plan() == {}


def test_infrastructure_runs_nothing(run: Project) -> None:
    edit(run.code / "src/goodsubnet/runtime/progress.py", "interval: float = 10.0", "interval: float = 11.0")
    run.settings["save_every"] = {"seconds": 5.0}
    run.settings["device"] = "cpu"
    assert run.plan() == {}


def test_a_touched_file_runs_nothing_whatever_its_size(run: Project) -> None:
    """Snakemake's own limit for comparing content is 1 MB; the images are made larger than that by this data set."""
    for path in run.folder.glob("results/**/*"):
        if path.is_file():
            os.utime(path)
    assert run.plan() == {}


def test_an_artifact_made_again_changes_nothing_below_it(run: Project) -> None:
    checkpoint = "results/small/pretrain/width-20/examples-20/seed-0/iteration-10.safetensors"
    before = (run.folder / checkpoint).read_bytes()
    (run.folder / checkpoint).unlink()
    run.snakemake(checkpoint)
    assert (run.folder / checkpoint).read_bytes() == before
    assert run.plan() == {}


def test_a_new_key_elsewhere_runs_nothing(run: Project) -> None:
    run.settings["networks"]["width-99"] = {"kind": "two_layer", "width": 99}
    run.settings["methods"]["another"] = {"algorithm": "magnitude", "steps": 3}
    assert run.plan() == {}
    # The verdict names what was not run.
    run.settings["experiments"]["other"] = {**run.experiment, "seeds": [7]}
    assert run.plan() == {"claims": 1, "verdict": 1}


def test_a_claim_judged_otherwise_only_judges_again(run: Project) -> None:
    edit(run.code / "src/goodsubnet/claims/accuracy.py", "INITIAL_MARGIN = 0.01", "INITIAL_MARGIN = 0.02")
    assert run.plan() == {"claims": 1, "verdict": 1}


def test_an_experiment_by_its_name_leaves_the_verdict_alone(run: Project) -> None:
    run.settings["answer"] = {"margin": 0.05}
    assert run.plan("small") == {"answers": 1, "draw_answers": 1}


@pytest.mark.parametrize("back", [False, True])
def test_without_snakemakes_memory_stale_results_reach_no_figure(run: Project, back: bool) -> None:
    shutil.rmtree(run.folder / ".snakemake")
    run.settings["methods"]["random"]["steps"] = 6
    result = run.snakemake(check=False)
    assert result.returncode != 0
    assert "6 artifacts do not fit" not in result.stdout  # the evaluations of them do not fit either
    assert "12 artifacts do not fit" in result.stdout
    assert "made with method =" in result.stdout
    assert "iteration-0.safetensors" in result.stdout
    if back:
        run.settings["methods"]["random"]["steps"] = 5
    else:
        for path in (run.folder / "results/small/evaluations.unfit.txt").read_text().splitlines():
            (run.folder / path).unlink()
    run.snakemake()
    table, figure = run.path("results/small/evaluations.csv"), run.path("results/small/figures/figure1.png")
    assert {line.split(",")[9] for line in table.read_text().splitlines()} == {"steps", "5" if back else "6"}
    assert figure.stat().st_mtime > table.stat().st_mtime
    assert run.plan() == {}


def test_a_configuration_given_replaces_the_default(run: Project, tmp_path: Path) -> None:
    import yaml

    run.command()
    other = {**run.settings, "targets": ["tiny"]}
    other["experiments"] = {"tiny": {**run.experiment, "examples": [20]}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
    plan = run.plan("--configfile", str(tmp_path / "other.yaml"))
    assert plan == {"subset": 1, "pretrain": 3, "prune": 3, "evaluate": 3, **TABLES, **observed(3)}
    refused = run.snakemake("small", "-n", "--configfile", str(tmp_path / "other.yaml"), check=False)
    assert refused.returncode != 0


def test_keeping_the_last_checkpoints_only(project: Project) -> None:
    project.settings["keep_checkpoints"] = "last"
    project.snakemake()
    kept = {path.name for path in project.folder.glob("results/small/pretrain/**/*.safetensors")}
    assert kept == {"iteration-20.safetensors"}
    assert project.plan() == {}
    project.experiment["pretrain"]["iterations"] = 30
    assert project.plan() == {"pretrain": 2, "prune": 2, "evaluate": 2, **TABLES, **observed(2)}
