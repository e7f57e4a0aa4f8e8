"""The walk from an artifact to the data, on chains made by hand; the real ones are in tests/workflow/test_verify.py."""

import json
from pathlib import Path

import pytest
from free_jobs import FreeJob as Job

from goodsubnet.errors import UserError
from goodsubnet.runtime import artifacts, fingerprint, jobs
from goodsubnet.runtime.audit import Audit
from goodsubnet.runtime.verification import Broken, Lineage, amount, normal, read_sealed

PATHS = {
    "prepare": "data.safetensors",
    "subset": "subset/seed-{seed}.safetensors",
    "pretrain": "pretrain/seed-{seed}/iteration-{iteration}.safetensors",
    "prune": "prune/{method}/seed-{seed}/iteration-{iteration}.safetensors",
    "evaluate": "evaluate/{method}/seed-{seed}/iteration-{iteration}.json",
}
GRID = {"network": ["n"], "examples": [1], "seed": [0, 1], "iteration": [0, 5], "method": ["m", "w"]}
STAGES = [*PATHS, "look"]


def entry(stage: str, inputs: dict[str, str], *methods: str) -> dict:
    """What a plan says of a stage. inputs: name -> stage, or a path."""
    names = [{"network": "n", "width": 3, **({"method": method} if method else {})} for method in methods or [""]]
    return {
        "stage": stage,
        "path": PATHS[stage],
        "inputs": {name: PATHS.get(source, source) for name, source in inputs.items()},
        "members": [{"names": each, "settings": STAGES.index(stage)} for each in names],
    }


EXAMPLES = {"data": "prepare", "subset": "subset"}
PLAN = {
    "names": {"experiment": "e", "dataset": "d"},
    "order": ["experiment", "dataset", "network", "width", "examples", "seed", "iteration", "method"],
    "grid": GRID,
    "entries": [
        entry("prepare", {}),
        entry("subset", {"data": "prepare"}),
        entry("pretrain", {**EXAMPLES, "previous": "pretrain/seed-{seed}/iteration-{previous}.safetensors"}),
        entry("prune", {**EXAMPLES, "checkpoint": "pretrain"}, "m"),
        entry(
            "prune",
            {**EXAMPLES, "checkpoint": "pretrain", "widths": "prune/m/seed-{seed}/iteration-{iteration}.safetensors"},
            "w",
        ),
        entry("evaluate", {**EXAMPLES, "subnetwork": "prune"}, "m", "w"),
    ],
    "settings": [{"of": stage} for stage in STAGES],
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # Git would be asked by each of the many jobs.
    monkeypatch.setattr(jobs, "_commit", lambda: "0123456789ab")
    return tmp_path


def make(stage: str, path: str, inputs: dict[str, str], settings: dict | None = None, **wildcards: int) -> str:
    """An artifact whose content is its path."""
    with Job(stage, Path(path), {"of": stage} if settings is None else settings, inputs, **wildcards) as job:
        job.save(Path(path).suffix, json.dumps(path).encode())
        if stage == "pretrain":
            job.save_json(path, ".dense.json")
    return path


def experiment() -> str:
    """All that PLAN asks for, gathered in a table."""
    paths = PATHS
    data = make("prepare", paths["prepare"], {})
    for seed in GRID["seed"]:
        given = {"data": data}
        given["subset"] = make("subset", paths["subset"].format(seed=seed), dict(given), seed=seed)
        previous: dict[str, str] = {}
        for iteration in GRID["iteration"]:
            cell = {"seed": seed, "iteration": iteration}
            checkpoint = make("pretrain", paths["pretrain"].format(**cell), {**given, **previous}, **cell)
            previous = {"previous": checkpoint}
            chosen: dict[str, str] = {}
            for method in GRID["method"]:
                inputs = {**given, "checkpoint": checkpoint, **chosen}
                subnetwork = make("prune", paths["prune"].format(method=method, **cell), inputs, seed=seed)
                chosen = {"widths": subnetwork}
                inputs = {**given, "subnetwork": subnetwork}
                make("evaluate", paths["evaluate"].format(method=method, **cell), inputs)
    with Job("plan", Path("plan.json"), {"plan": PLAN}, {}) as job:
        job.save_json(PLAN)
    return collect("table.csv")


def collect(path: str, *left_out: str) -> str:
    with Job("collect", Path(path), {}, {"plan": "plan.json"}) as job:
        audit = Audit.by_plan(job)
        for row in audit.rows("evaluate"):
            audit.read(row.path)
            audit.read(audit.path_of(["pretrain"], row.names, ".dense.json"))
        for name in left_out:
            del audit.gathered[name]
        audit.conclude(job)
        job.save(".csv", b"rows")
    return path


def reseal(path: str, **changed: object) -> None:
    sidecar = artifacts.sidecar(path)
    provenance = json.loads(sidecar.read_bytes())
    del provenance["seal"]
    sidecar.write_bytes(artifacts.encode_provenance(provenance | changed))


def test_a_gathered_file_is_recorded_with_its_hash_and_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    plain = artifacts.sha256
    monkeypatch.setattr(artifacts, "sha256", lambda path: hashed.append(str(path)) or plain(path))
    experiment()
    hashed.clear()
    collect("again.csv")
    gathered = artifacts.read_provenance("again.csv")["gathered"]
    assert len(gathered) == 8 + 4
    assert all(plain(path) == digest for path, digest in gathered.items())
    assert sorted(hashed) == sorted(["plan.json", *gathered])


def test_what_was_gathered_changes_neither_key_nor_content() -> None:
    with Job("x", Path("a.json"), {"s": 1}, {}) as job:
        key = job.key
        job.gather({"b.json": "0" * 64})
        assert job.key == key
        job.save_json(1)
    assert artifacts.read_provenance("a.json")["key"] == key


def test_the_walk_meets_every_file_once_and_the_data_first() -> None:
    table = experiment()
    lineage = Lineage([table, f"./{table}", Path(table).absolute()])
    lineage.check()
    order = [made.path for made in lineage.made]
    assert len(order) == len(set(order)) == 1 + 2 + 4 + 8 + 8 + 1 + 1
    assert (order[0], order[-1]) in {("data.safetensors", table), ("plan.json", table)}
    for made in lineage.made:
        for source, _ in made.sources():
            stem = artifacts.sidecar(source)
            assert [artifacts.sidecar(path) for path in order].index(stem) < order.index(made.path)
    assert sum(len(made.files) for made in lineage.made) == len(order) + 4
    text = lineage.text()
    assert [line.split()[:2] for line in text.splitlines()[1:-1]][:2] == [["collect", "1"], ["evaluate", "8"]]
    assert text.splitlines()[-2].startswith("prepare ")


def test_the_first_cause_is_named() -> None:
    table = experiment()
    for path in ("evaluate/m/seed-0/iteration-0.json", "subset/seed-0.safetensors", "table.csv"):
        Path(path).write_bytes(b"x" * Path(path).stat().st_size)
    with pytest.raises(Broken, match=r"^subset/seed-0.safetensors was altered"):
        Lineage([table]).check()


def test_a_thousand_checkpoints_in_a_line() -> None:
    make("pretrain", "x.json", {})
    provenance, inputs = artifacts.read_provenance("x.json"), {}
    del provenance["seal"]
    for iteration in range(1200):
        path = Path(f"iteration-{iteration}.json")
        path.write_bytes(b"%d" % iteration)
        written = {"sha256": artifacts.sha256(path), "bytes": path.stat().st_size}
        about = {"inputs": inputs, "outputs": {path.name: written}, "output": str(path)}
        artifacts.sidecar(path).write_bytes(artifacts.encode_provenance(provenance | about))
        inputs = {"previous": {"path": str(path), "sha256": written["sha256"]}}
    lineage = Lineage(["iteration-1199.json"])
    lineage.check()
    assert len(lineage.made) == 1200
    Path("iteration-7.json").write_bytes(b"8")
    with pytest.raises(Broken, match=r"iteration-7.json was altered\n.*, that of iteration-8.json"):
        lineage.check()


def test_every_byte_of_a_sidecar_counts() -> None:
    make("x", "a.json", {})
    sidecar = artifacts.sidecar("a.json")
    content = sidecar.read_bytes()
    assert read_sealed(sidecar)["stage"] == "x"
    for position in range(len(content)):
        changed = content[position] ^ (1 << position % 8)
        sidecar.write_bytes(content[:position] + bytes([changed]) + content[position + 1 :])
        with pytest.raises(Broken, match=r"^a.provenance.json was "):
            read_sealed(sidecar)
    for length in range(0, len(content), 10):
        sidecar.write_bytes(content[:length])
        with pytest.raises(Broken, match=r"^a.provenance.json was altered"):
            read_sealed(sidecar)
    for other in (b"[]", b"1", b"{}", b"\xff"):
        sidecar.write_bytes(other)
        with pytest.raises(Broken, match=r"^a.provenance.json was "):
            read_sealed(sidecar)


def test_a_result_that_the_plan_asks_for_and_was_not_gathered() -> None:
    experiment()
    table = collect("less.csv", "evaluate/w/seed-1/iteration-5.json")
    with pytest.raises(Broken, match=r"^evaluate/w/seed-1/iteration-5.json is asked for by plan.json"):
        Lineage([table]).check()
    reseal(table, gathered={})
    with pytest.raises(Broken, match=r"^less.provenance.json does not say what was gathered"):
        Lineage([table]).check()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("prune/w/seed-1/iteration-5.safetensors", "made with of = other, and it must be prune"),
        ("evaluate/m/seed-0/iteration-0.json", "made with of = other, and it must be evaluate"),
    ],
)
def test_settings_are_those_of_the_plan(path: str, reason: str) -> None:
    table = experiment()
    reseal(path, settings={"of": "other"})
    with pytest.raises(Broken, match=f"^{path} does not fit plan.json, by which table.csv was made: {reason}"):
        Lineage([table]).check()


def test_something_else_that_was_gathered_has_the_settings_of_its_stage() -> None:
    experiment()
    for name, settings in (("good", {"of": "look"}), ("bad", {"of": "look", "more": 1})):
        look = make("look", f"{name}.json", {"data": "data.safetensors"}, settings)
        member = {"names": {}, "settings": STAGES.index("look")}
        entries = [*PLAN["entries"], {"stage": "look", "path": look, "inputs": {"data": "data.safetensors"}}]
        with Job("plan", Path(f"plan-{name}.json"), {}, {}) as job:
            job.save_json({**PLAN, "entries": [*entries[:-1], {**entries[-1], "members": [member]}]})
        with Job("gather", Path(f"of-{name}.csv"), {}, {"plan": f"plan-{name}.json"}) as job:
            audit = Audit(job.json("plan"))
            audit.read(look)
            audit.conclude(job)
            job.save(".csv", b"")
    Lineage(["of-good.csv"]).check()
    with pytest.raises(Broken, match=r"^bad.json does not fit plan-bad.json.*made with more = 1"):
        Lineage(["of-bad.csv"]).check()


def test_what_was_gathered_stands_in_the_plan() -> None:
    experiment()
    stray = make("stray", "stray.json", {})
    with Job("gather", Path("of-stray.csv"), {}, {"plan": "plan.json"}) as job:
        audit = Audit.by_plan(job)
        audit.read(stray)
        audit.conclude(job)
        job.save(".csv", b"")
    with pytest.raises(Broken, match=r"^stray.json was gathered in of-stray.csv, and plan.json does not ask for it"):
        Lineage(["of-stray.csv"]).check()


def test_another_data_set_under_one_subset_than_under_its_network() -> None:
    """Everyone's own record is whole, and they do not agree with one another."""
    table = experiment()
    before = Path("subset/seed-0.safetensors").read_bytes()
    inputs = artifacts.read_provenance("subset/seed-0.safetensors")["inputs"]
    Path("data.safetensors").unlink()
    with Job("prepare", Path("data.safetensors"), {"of": "prepare"}, {}) as job:
        job.save(".safetensors", b"other data")
    with Job(
        "subset", Path("subset/seed-0.safetensors"), {"of": "subset"}, {"data": "data.safetensors"}, seed=0
    ) as job:
        job.save(".safetensors", before)
    assert artifacts.read_provenance("subset/seed-0.safetensors")["inputs"] != inputs
    with pytest.raises(Broken, match=r"^data.safetensors is not what (?!subset/seed-0)\S+ was made from"):
        Lineage([table]).check()


def test_a_cycle_that_swapped_sidecars_make_ends() -> None:
    make("x", "a.json", {})
    make("x", "b.json", {"source": "a.json"})
    first, second = Path("a.provenance.json"), Path("b.provenance.json")
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    lineage = Lineage(["a.json"])
    assert "a.json" in lineage.text()
    with pytest.raises(Broken, match=r"a.provenance.json was written for b.json"):
        lineage.check()


def test_only_what_is_temporary_may_be_gone() -> None:
    with Job("pretrain", Path("a.json"), {}, {}) as job:
        job.temporary = True
        job.save_json(1)
        job.save_json(2, ".dense.json")
    make("x", "b.json", {"checkpoint": "a.json", "dense": "a.dense.json"})
    Path("a.json").unlink()
    lineage = Lineage(["b.json"])
    lineage.check()
    assert lineage.deleted == {"a.json"}
    with pytest.raises(Broken, match=r"^a.json is missing"):
        Lineage(["a.json"]).check()
    Path("a.dense.json").unlink()
    with pytest.raises(Broken, match=r"^a.dense.json is missing\n  b.json was made from it"):
        Lineage(["b.json"]).check()


def test_a_file_that_cannot_be_read_is_named() -> None:
    make("x", "a.json", {})
    Path("a.json").unlink()
    Path("a.json").symlink_to("a.json")
    with pytest.raises(Broken, match=r"^a.json cannot be read"):
        Lineage(["a.json"]).check()


def test_another_format_of_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    make("x", "a.json", {})
    monkeypatch.setattr(artifacts, "FORMAT", artifacts.FORMAT + 1)
    with pytest.raises(Broken, match=r"^a.json has another format"):
        Lineage(["a.json"]).check()


def test_a_file_of_code_that_is_gone() -> None:
    make("x", "a.json", {})
    losses = "goodsubnet/training/losses.py"
    reseal("a.json", sources={losses: fingerprint.source_hash(losses)})
    Lineage(["a.json"]).check()
    reseal("a.json", sources={"goodsubnet/gone.py": "0", "goodsubnet/training/losses.py": "0"})
    with pytest.raises(Broken, match=r"see goodsubnet/gone.py \(gone\), goodsubnet/training/losses.py$"):
        Lineage(["a.json"]).check()


def test_images_in_files_of_their_own_are_said_not_to_be_checked() -> None:
    make("prepare", "a.json", {}, {"dataset": {"storage": "files"}})
    assert "not checked: the images" in Lineage(["a.json"]).text()
    make("prepare", "b.json", {}, {"dataset": {"storage": "arrays"}})
    assert "not checked" not in Lineage(["b.json"]).text()


def test_paths_as_they_are_named(here: Path) -> None:
    assert normal("results//a/../b.csv", str(here)) == "results/b.csv"
    assert normal(str(here / "b.csv"), str(here)) == "b.csv"
    assert normal("/elsewhere/b.csv", str(here)) == "/elsewhere/b.csv"
    with pytest.raises(UserError, match=r"^nothing.png is not there"):
        Lineage(["nothing.png"])


def test_amounts_for_people() -> None:
    assert [amount(size) for size in (7, 1500, 2.5e6, 52.3e9)] == ["7 B", "1.5 kB", "2.5 MB", "52.3 GB"]


def test_what_was_loaded_is_recorded_with_the_code_it_had() -> None:
    sources = fingerprint.loaded_sources()
    assert all(fingerprint.source_hash(name) == digest for name, digest in sources.items())
    assert all(name.startswith(("goodsubnet/", "scripts/")) for name in sources)
    assert not {name.split("/")[1].removesuffix(".py") for name in sources} & set(fingerprint.LEFT_OUT)
