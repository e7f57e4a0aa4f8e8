"""The real chain on real digits, from images to the report, and the report in a real browser."""

import base64
import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas
import pytest
from project import ROOT, Project

from goodsubnet.data.inputs import network_inputs
from goodsubnet.networks.two_layer import neuron_outputs
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.fingerprint import fingerprint
from goodsubnet.training.losses import accuracy, mean_loss, targets_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("whole"))
    project.settings["networks"]["width-60"] = {"kind": "two_layer", "width": 60, "activation": "tanh"}
    project.settings["methods"]["greedy"]["steps"] = 15
    project.experiment.update(networks=["width-20", "width-60"], methods=["greedy", "random"], seeds=[0, 1])
    project.experiment["pretrain"].update(iterations=200, checkpoints=[0, 40, 200], loss="squared")
    project.snakemake()
    return project


def test_the_code_that_was_loaded_is_that_of_the_fingerprint(run: Project) -> None:
    """Each sidecar names what was loaded; from these names alone the fingerprint comes out."""
    sidecars = [json.loads(path.read_bytes()) for path in run.folder.glob("results/**/*.provenance.json")]
    assert {"prepare", "pretrain", "prune", "evaluate", "terms", "bounds", "figure"} <= {
        each["stage"] for each in sidecars
    }
    for sidecar in sidecars:
        (script, *modules) = sorted(sidecar["sources"], key=lambda name: not name.startswith("scripts/"))
        names = [re.sub(r"^goodsubnet/|(/__init__)?\.\w+$", "", name).replace("/", ".") for name in modules]
        assert fingerprint(ROOT / script, names) == sidecar["settings"]["code"], (script, names)


def test_no_job_of_a_two_layer_network_loads_torch(
    run: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job with torch holds 350 MB more and starts a second later, and `memory` of the two-layer stages is without."""
    shutil.copytree(run.folder, tmp_path / "again", symlinks=True)
    project = Project(tmp_path / "again")
    project.settings, project.warm = run.settings, False
    told = "import atexit, os, sys\n@atexit.register\ndef tell():\n    with open(os.environ['TOLD'], 'a') as file:\n"
    told += "        print(os.path.basename(sys.argv[0]), 'torch' in sys.modules, file=file)\n"
    (tmp_path / "sitecustomize.py").write_text(told)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    cell = "width-20/examples-20/seed-0/iteration-200.json"
    stages = ["pretrain", "prune", "evaluate", "terms", "observe"]
    targets = [
        f"results/small/{stage}/{cell}" for stage in ("evaluate/greedy", "evaluate/random", "terms/greedy", "observe")
    ]
    project.snakemake("--forcerun", *stages, "--", *targets)
    loaded = set((tmp_path / "told").read_text().splitlines())
    assert {f"{stage}.py False" for stage in stages} <= loaded
    assert not [line for line in loaded if line.endswith("True")]


def rows(run: Project) -> list[dict[str, str]]:
    with open(run.folder / "results/small/evaluations.csv") as file:
        return list(csv.DictReader(file))


def test_the_table_is_tidy_and_whole(run: Project) -> None:
    table = rows(run)
    keys = ["network", "examples", "seed", "iteration", "method"]
    assert len({tuple(row[key] for key in keys) for row in table}) == len(table) == 2 * 2 * 2 * 3 * 2
    asked = {"experiment", "dataset", "width", "steps", "distinct", "train_accuracy", "test_accuracy", "train_loss"}
    asked |= {"dense_train_accuracy", "dense_test_accuracy", "dense_train_loss", "seconds", *keys}
    assert asked <= set(table[0])
    assert all(value for row in table for value in row.values())


def test_each_number_is_that_of_the_subnetwork_recomputed_from_the_checkpoint(run: Project) -> None:
    """Nothing of the chain but the files: f_S(x), the mean over the multiset of chosen neurons, in float64."""
    folder = run.folder / "results/small"
    data = artifacts.map_tensors(run.folder / "results/data/digits/images.safetensors")
    for row in rows(run):
        cell = f"{row['network']}/examples-{row['examples']}/seed-{row['seed']}/iteration-{row['iteration']}"
        weights = artifacts.map_tensors(folder / f"pretrain/{cell}.safetensors")
        selection = artifacts.map_tensors(folder / f"prune/{row['method']}/{cell}.safetensors")
        subset = artifacts.map_tensors(folder / f"subset/examples-{row['examples']}/seed-{row['seed']}.safetensors")
        activation = "tanh" if row["network"] == "width-60" else "relu"
        weights = {name: weights[name].astype(float) for name in "ab"}
        parts = {"train": ("train", subset["indices"]), "test": ("test", slice(None))}
        for name, (part, chosen) in parts.items():
            x = network_inputs(data[f"{part}_images"][chosen], 16, "unit_range").astype(float)
            y = targets_of(data[f"{part}_labels"][chosen], "squared")
            phi = neuron_outputs(weights, x, activation).astype(float)
            z, dense = phi[:, selection["neurons"]].mean(1), phi.mean(1)
            assert float(row[f"{name}_loss"]) == pytest.approx(mean_loss(z, y, "squared"), rel=1e-4)
            assert float(row[f"dense_{name}_loss"]) == pytest.approx(mean_loss(dense, y, "squared"), rel=1e-4)
            # An output within rounding of 0 may fall on either side.
            unsure = np.mean(np.abs(z) < 1e-6)
            assert abs(float(row[f"{name}_accuracy"]) - accuracy(z, y)) <= unsure
        assert selection["losses"][-1] == pytest.approx(float(row["train_loss"]), rel=1e-4)
        assert int(row["distinct"]) == len(set(selection["neurons"].tolist()))


def test_the_initial_weights_are_those_of_the_network_and_seed_alone(run: Project) -> None:
    for network in ("width-20", "width-60"):
        cells = run.contents(f"results/small/pretrain/{network}/*/seed-0/iteration-0.safetensors")
        assert len(set(cells.values())) == 1
        other = run.contents(f"results/small/pretrain/{network}/*/seed-1/iteration-0.safetensors")
        assert not set(cells.values()) & set(other.values())


def test_figures_tables_and_report_are_there(run: Project) -> None:
    folder = run.folder / "results/small"
    for name in ("figure1", "curves"):
        assert (folder / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
    with open(folder / "required_pretraining.csv") as file:
        required = list(csv.DictReader(file))
    assert {(row["network"], row["method"], row["examples"]) for row in required} == {
        (network, method, examples)
        for network in ("width-20", "width-60")
        for method in ("greedy", "random")
        for examples in ("20", "40")
    }


def test_a_run_ends_with_its_answer_and_so_does_the_next_one(run: Project) -> None:
    (line,) = (run.folder / "results/small/answers.txt").read_text().splitlines()
    assert "(width-" in line
    again = run.snakemake().stdout
    assert again.index(line) < again.index("Nothing to be done")
    assert line not in run.snakemake("-n").stdout


def test_the_verdict_is_of_the_tables_and_shows_its_figures(run: Project) -> None:
    judgements = pandas.read_csv(run.folder / "results/claims.csv", keep_default_na=False)
    verdicts = pandas.read_csv(run.folder / "results/claims.summary.csv", keep_default_na=False)
    page = (run.folder / "results/report.html").read_text()
    assert set(judgements["claim"]) == set(verdicts["claim"]) == set(range(1, 14))
    assert {"holds", "undecided", "not run"} <= set(judgements["verdict"]) <= {*verdicts["verdict"], "does not hold"}
    # Two seeds on a handful of digits decide little, but 0 violations of a proved bound are no matter of chance.
    proved = judgements[(judgements["part"] == "Lemma 1") & (judgements["experiment"] == "small")]
    assert set(proved["verdict"]) == {"holds"}
    counts = [(verdicts["verdict"] == verdict).sum() for verdict in ("holds", "does not hold", "undecided", "not run")]
    (line,) = (run.folder / "results/claims.txt").read_text().splitlines()
    assert [int(number) for number in re.findall(r"\d+", line)] == [13, *counts]
    assert line in run.snakemake().stdout
    anchors = set(re.findall(r"id=['\"]([^'\"]+)", page))
    inside = set(re.findall(r"href=['\"]#([^'\"]+)", page))
    assert inside
    assert inside <= anchors
    outside = set(re.findall(r"href=['\"]([^#'\"]+)", page))
    assert "small/report.html" in outside
    assert all((run.folder / "results" / address).exists() for address in outside)
    pictures = [base64.b64decode(code) for code in re.findall(r"data:image/png;base64,([^'\"]+)", page)]
    assert (run.folder / "results/small/figures/figure1.png").read_bytes() in pictures


def test_the_report_needs_nothing_from_outside(run: Project) -> None:
    page = (run.folder / "results/small/report.html").read_text()
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', page)
    assert "red" in page
    assert "needs until its subnetworks" in page


# Clicks through the page as a reader does, by the words on its buttons.
CLICKS = """<script>
for (const [place, words] of ["Results", "small"].entries()) setTimeout(() => {
    const buttons = [...document.querySelectorAll("*")].filter(e => e.closest("a, button"));
    buttons.filter(e => e.textContent.trim() == words).pop().closest("a, button").click();
}, 1000 + 700 * place);
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the report in")
def test_the_report_opens_in_a_browser(run: Project, tmp_path: Path) -> None:
    page = (run.folder / "results/small/report.html").read_text()
    end = page.rindex("</body>")
    clicked = tmp_path / "clicked.html"
    clicked.write_text(page[:end] + CLICKS + page[end:])
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=8000 --window-size=1400,900"
    start = [CHROMIUM, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run([*start, "--dump-dom", clicked.as_uri()], capture_output=True, text=True, timeout=120)
    text = re.sub(r"<(script|style).*?</\1>", "", shown.stdout, flags=re.DOTALL)
    for label in ("Figure 1: accuracy of the subnetworks", "Required pre-training", "All measurements"):
        assert label in text, shown.stderr[-2000:]
