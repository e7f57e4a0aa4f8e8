"""`goodsubnet verify` on a real run: it holds, and each kind of file that is lost, altered or swapped is named."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from deep_jobs import GREEDY, Jobs
from project import ROOT, Project
from test_plans import edit

from goodsubnet import cli
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.verification import Lineage

FIGURE = "results/small/figures/figure1.png"
CELL = "tanh/examples-20/seed-{}/iteration-20"
# A file of each kind, and another of the same kind where there is one, else of another kind.
KINDS = {
    "data": ("data/digits/images.safetensors", "small/subset/examples-20/seed-0.safetensors"),
    "subset": ("small/subset/examples-20/seed-0.safetensors", "small/subset/examples-20/seed-1.safetensors"),
    "checkpoint": (f"small/pretrain/{CELL.format(0)}.safetensors", f"small/pretrain/{CELL.format(1)}.safetensors"),
    "dense": (f"small/pretrain/{CELL.format(0)}.dense.json", f"small/pretrain/{CELL.format(1)}.dense.json"),
    "subnetwork": (
        f"small/prune/greedy/{CELL.format(0)}.safetensors",
        f"small/prune/greedy/{CELL.format(1)}.safetensors",
    ),
    "evaluation": (f"small/evaluate/greedy/{CELL.format(0)}.json", f"small/evaluate/greedy/{CELL.format(1)}.json"),
    "terms": (f"small/terms/greedy/{CELL.format(0)}.json", f"small/terms/greedy/{CELL.format(1)}.json"),
    "plan": (f"small/plan/collect/{'?' * 12}.json", f"small/plan/bounds/{'?' * 12}.json"),
    "table": ("small/evaluations.csv", "small/required_pretraining.csv"),
    "bounds": ("small/theory/bounds.csv", "small/theory/thresholds.csv"),
    "figure": ("small/figures/figure1.png", "small/figures/curves.png"),
    "report": ("small/report.html", "random_matrices/report.html"),
    "draws": (
        "random_matrices/condition_numbers/examples-5.json",
        "random_matrices/condition_numbers/examples-10.json",
    ),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("verify"))
    project.settings |= {"targets": ["small", "random_matrices"], "keep_checkpoints": "last"}
    project.settings["random_matrices"] = {
        "smallest_singular_values": {"examples": [5], "inputs": [4], "widths": [80, 120, 160], "draws": 2},
        "condition_numbers": {"examples": [5, 10], "widths": [5, 20], "draws": 2},
    }
    project.settings["networks"] = {
        "tanh": {"kind": "two_layer", "width": 20, "activation": "tanh", "initialisation": "unit"}
    }
    project.experiment.update(networks=["tanh"], methods=["greedy"], examples=[20], seeds=[0, 1])
    project.experiment["pretrain"] = {
        **{"loss": "squared", "inputs": "unit_length", "iterations": 20, "checkpoints": [0, 20]},
        **{"batch_size": "full", "learning_rate": {"stable_fraction": 0.2}},
    }
    project.snakemake()
    return project


def verify(folder: Path, capsys: pytest.CaptureFixture, *paths: str) -> tuple[int, str]:
    """Exit code, and what was printed."""
    code = 0
    try:
        cli.main(["verify", "--directory", str(folder), *paths])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else print(end.code) or 1
    return code, capsys.readouterr().out


def file_of(run: Project, pattern: str) -> Path:
    return run.path(f"results/{pattern}")


@contextlib.contextmanager
def restored(*paths: Path) -> Iterator[None]:
    """After this block the files are as they were."""
    contents = [path.read_bytes() for path in paths]
    try:
        yield
    finally:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)


def swap(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    match how:
        case "deleted":
            path.unlink()
        case "truncated":
            path.write_bytes(content[:middle])
        case "altered":
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def reseal(path: Path, **changed: object) -> None:
    """Change what a sidecar says as someone would who knows how it is sealed."""
    provenance = json.loads(path.read_bytes())
    del provenance["seal"]
    path.write_bytes(artifacts.encode_provenance(provenance | changed))


def targets(kind: str) -> list[str]:
    """Of what the kind's files are part."""
    return ["results/random_matrices/report.html" if kind == "draws" else "results/small/report.html"]


def test_an_untouched_run_holds_and_its_chain_is_told(run: Project, capsys: pytest.CaptureFixture) -> None:
    code, said = verify(run.folder, capsys, FIGURE, "results/random_matrices/figures/figure3.pdf")
    assert code == 0, said
    assert said.splitlines()[-1].startswith("holds")
    stages = [line.split()[:2] for line in said.splitlines()[1:-2]]
    assert ["evaluate", "4"] in stages
    assert ["condition_numbers", "2"] in stages
    assert [count for stage, count in stages if stage == "pretrain"] == ["4", "4"]
    assert "2 of them deleted, as keep_checkpoints: last does" in said
    # The data last, with the hash that can be compared with that of other runs.
    digest = artifacts.sidecar(run.folder / "results/data/digits/images.safetensors").read_text()
    assert said.splitlines()[-3].startswith("prepare")
    assert said.splitlines()[-3].split()[-1] in digest


def test_every_file_is_in_some_chain(run: Project) -> None:
    """All that the run has made, but for what was asked for beside it: other forms of figures and tables."""
    with contextlib.chdir(run.folder):
        asked = ["results/small/report.html", "results/random_matrices/report.html", "results/report.html"]
        chain = Lineage([*asked, "results/claims.txt", "results/small/answers.txt"])
        chain.check()
        found = {path for made in chain.made for path in made.files}
        there = {str(path) for path in Path("results").rglob("*") if path.is_file()}
    there = {path for path in there if not path.endswith((".provenance.json", ".log", ".pdf"))}
    assert found - chain.deleted == there | {"results/small/theory/bounds.csv"}
    assert {Path(path).name for path in chain.deleted} == {"iteration-0.safetensors"}


@pytest.mark.parametrize("how", ["deleted", "altered", "truncated"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_file_is_named(run: Project, capsys: pytest.CaptureFixture, kind: str, how: str) -> None:
    path = file_of(run, KINDS[kind][0])
    with restored(path):
        spoil(path, how)
        code, said = verify(run.folder, capsys, *targets(kind))
    name = str(path.relative_to(run.folder))
    if (kind, how) == ("checkpoint", "deleted"):
        # As it might have been by Snakemake, which its sidecar says.
        assert (code, "3 of them deleted" in said) == (0, True)
        return
    assert code == 1
    assert f"does not hold: {name} " in said
    assert ("is missing" if how == "deleted" else "was altered") in said


@pytest.mark.parametrize("how", ["deleted", "altered", "truncated"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_sidecar_is_named(run: Project, capsys: pytest.CaptureFixture, kind: str, how: str) -> None:
    path = artifacts.sidecar(file_of(run, KINDS[kind][0]))
    with restored(path):
        spoil(path, how)
        code, said = verify(run.folder, capsys, *targets(kind))
    assert code == 1
    if (kind, how) == ("report", "deleted"):
        assert f"there is no {path.name} beside it" in said
    else:
        assert f"does not hold: {path.relative_to(run.folder)} " in said


@pytest.mark.parametrize("sidecars", ["without", "with"])
@pytest.mark.parametrize("kind", KINDS)
def test_swapped_files_are_named(run: Project, capsys: pytest.CaptureFixture, kind: str, sidecars: str) -> None:
    pair = [file_of(run, pattern) for pattern in KINDS[kind]]
    both = [*pair, *map(artifacts.sidecar, pair)]
    with restored(*both):
        swap(*pair)
        if sidecars == "with":
            swap(*both[2:])
        code, said = verify(run.folder, capsys, *targets(kind))
    assert code == 1
    told = said[said.index("does not hold") :]
    assert any(str(path.relative_to(run.folder)) in told for path in both)
    if sidecars == "with":
        assert "swapped" in told
    elif kind in ("subset", "checkpoint"):
        # Where the other file's hash is known, it is told whose it is.
        assert all(str(path.relative_to(run.folder)) in told for path in pair)


@pytest.mark.parametrize("kind", ["data", "subset", "checkpoint", "dense", "subnetwork", "evaluation", "plan", "table"])
def test_a_file_changed_with_its_sidecar_is_found_by_who_read_it(
    run: Project, capsys: pytest.CaptureFixture, kind: str
) -> None:
    path = file_of(run, KINDS[kind][0])
    sidecar = artifacts.sidecar(path)
    with restored(path, sidecar):
        spoil(path, "altered")
        outputs = json.loads(sidecar.read_bytes())["outputs"]
        reseal(sidecar, outputs={**outputs, path.name: {**outputs[path.name], "sha256": artifacts.sha256(path)}})
        code, said = verify(run.folder, capsys, *targets(kind))
    assert code == 1
    assert f"does not hold: {path.relative_to(run.folder)} is not what " in said


@pytest.mark.parametrize("kind", ["subset", "checkpoint", "subnetwork", "evaluation", "terms"])
def test_other_settings_than_the_plans_are_found(run: Project, capsys: pytest.CaptureFixture, kind: str) -> None:
    path = file_of(run, KINDS[kind][0])
    sidecar = artifacts.sidecar(path)
    with restored(sidecar):
        reseal(sidecar, settings={**json.loads(sidecar.read_bytes())["settings"], "threads": 77})
        code, said = verify(run.folder, capsys, *targets(kind))
    assert code == 1
    assert f"does not hold: {path.relative_to(run.folder)} does not fit results/small/plan/" in said
    assert "made with threads = 77" in said


def test_swapped_with_sidecars_that_were_written_anew_is_found(run: Project, capsys: pytest.CaptureFixture) -> None:
    pair = [file_of(run, pattern) for pattern in KINDS["checkpoint"]]
    sidecars = list(map(artifacts.sidecar, pair))
    with restored(*pair, *sidecars):
        swap(*pair)
        swap(*sidecars)
        for path, sidecar in zip(pair, sidecars, strict=True):
            reseal(sidecar, output=str(path.relative_to(run.folder)))
        code, said = verify(run.folder, capsys, FIGURE)
        assert (code, "is of seed 1: it was swapped" in said) == (1, True)
        for seed, sidecar in enumerate(sidecars):
            reseal(sidecar, wildcards={"seed": seed, "iteration": 20})
        code, said = verify(run.folder, capsys, FIGURE)
    assert code == 1
    assert f"{pair[0].relative_to(run.folder)} is not what " in said


def test_a_lost_checkpoint_that_was_to_stay_is_missed(run: Project, capsys: pytest.CaptureFixture) -> None:
    path = file_of(run, KINDS["checkpoint"][0])
    sidecar = artifacts.sidecar(path)
    with restored(path, sidecar):
        reseal(sidecar, temporary=[])
        path.unlink()
        code, said = verify(run.folder, capsys, FIGURE)
    assert (code, f"does not hold: {path.relative_to(run.folder)} is missing" in said) == (1, True)


def test_a_sidecar_of_an_earlier_version_is_told_as_such(run: Project, capsys: pytest.CaptureFixture) -> None:
    sidecar = artifacts.sidecar(file_of(run, KINDS["subnetwork"][0]))
    with restored(sidecar):
        provenance = json.loads(sidecar.read_bytes())
        for name in ("seal", "sources", "gathered", "output", "format"):
            del provenance[name]
        sidecar.write_bytes(artifacts.encode_json(provenance))
        code, said = verify(run.folder, capsys, FIGURE)
    assert code == 1
    assert f"{sidecar.relative_to(run.folder)} was written by an earlier version" in said


def test_only_code_that_could_change_a_result_counts(run: Project, tmp_path: Path) -> None:
    """Today's sources are those beside the command, so it runs from a copy of the checkout."""
    for name in ("src", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))

    def said() -> tuple[int, str]:
        command = [sys.executable, "-m", "goodsubnet.cli", "verify", FIGURE]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
        result = subprocess.run(command, cwd=run.folder, env=environment, capture_output=True, text=True)
        return result.returncode, result.stdout + result.stderr

    losses, script = tmp_path / "src/goodsubnet/selection/losses.py", tmp_path / "scripts/figure.py"
    losses.write_text(losses.read_text() + "\n# A comment\n")
    edit(tmp_path / "src/goodsubnet/runtime/progress.py", "interval: float = 10.0", "interval: float = 11.0")
    edit(tmp_path / "src/goodsubnet/theory/laws.py", "import numpy", "UNUSED = 1\nimport numpy")
    assert said()[0] == 0
    edit(script, '("png", "pdf")', '("pdf", "png")')
    code, text = said()
    assert (code, f"{FIGURE} was made by other code than today's, see scripts/figure.py" in text) == (1, True)
    losses.write_text(losses.read_text() + "\nUNUSED = 1\n")
    code, text = said()
    assert code == 1
    assert "does not hold: results/small/prune/greedy/" in text
    assert "was made by other code than today's, see goodsubnet/selection/losses.py\n" in text


def test_what_cannot_be_followed_is_refused_in_words(run: Project, capsys: pytest.CaptureFixture) -> None:
    (run.folder / "notes.txt").write_text("mine")
    for path, words in {
        "notes.txt": "there is no notes.provenance.json beside it",
        "results/small": "is a folder",
        "results/small/evaluations.provenance.json": "is a sidecar",
        "results/small/evaluations.xlsx": "is not among what results/small/evaluations.provenance.json speaks of",
        "results/nothing.png": f"say --directory where snakemake ran elsewhere than in {run.folder}",
    }.items():
        code, said = verify(run.folder, capsys, path)
        assert (code, words in said) == (1, True), said
    code, said = verify(run.folder / "results", capsys, "small/evaluations.csv")
    assert (code, f"say --directory {run.folder}" in said) == (1, True)
    code, said = verify(run.folder, capsys, str(run.folder / "results/small/evaluations.csv"))
    assert code == 0
    code, said = verify(run.folder / "nowhere", capsys, FIGURE)
    assert (code, "there is no folder" in said) == (1, True)


def test_every_file_is_listed_if_asked(run: Project, capsys: pytest.CaptureFixture) -> None:
    _, said = verify(run.folder, capsys, "--all", FIGURE)
    for kind in ("data", "subset", "checkpoint", "dense", "subnetwork", "evaluation", "plan", "table", "figure"):
        for pattern in KINDS[kind][: 2 if kind in ("subset", "checkpoint", "dense") else 1]:
            path = file_of(run, pattern)
            assert f"{artifacts.sha256(path)[:16]}  {path.relative_to(run.folder)}\n" in said


def test_the_kinds_of_deep_networks(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.set_num_threads(1)
    chain = Jobs(tmp_path)
    chain.settings["calibrate"]["method"] = {**GREEDY, "tolerance": None, "flops_ratio": 0.5, "flops_margin": 0.4}
    chain.settings["prune"]["method"] = chain.settings["calibrate"]["method"]
    chain.settings["finetune"]["iterations"] = 2
    chain.prepare()
    chain.subset(40)
    dense = chain.pretrain("dense", 5)
    tolerance = chain.calibrate("tolerance", dense)
    subnetwork = chain.prune("pruned", dense, tolerance)
    finetuned = chain.finetune("finetuned", subnetwork)
    chain.evaluate("row", subnetwork, finetuned)
    code, said = verify(tmp_path, capsys, "row/x.json")
    assert code == 0, said
    for path in (tolerance, subnetwork, finetuned, chain.indices):
        for how in ("deleted", "altered", "truncated"):
            for each in (path, artifacts.sidecar(path)):
                with restored(each):
                    spoil(each, how)
                    code, said = verify(tmp_path, capsys, "row/x.json")
                assert (code, f"does not hold: {each.relative_to(tmp_path)} " in said) == (1, True), said
    with restored(subnetwork, finetuned, *map(artifacts.sidecar, (subnetwork, finetuned))):
        swap(subnetwork, finetuned)
        swap(artifacts.sidecar(subnetwork), artifacts.sidecar(finetuned))
        code, said = verify(tmp_path, capsys, "row/x.json")
    assert (code, "swapped" in said) == (1, True)
