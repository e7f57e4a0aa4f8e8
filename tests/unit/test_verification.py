"""The walk from an artifact to the data, on chains made by hand; the real ones are in tests/workflow/test_verify.py."""

import json
from pathlib import Path

import pytest

from goodsubnet import artifacts, fingerprint, jobs
from goodsubnet.audit import Audit
from goodsubnet.errors import UserError
from goodsubnet.jobs import Job
from goodsubnet.verification import Broken, Chain, amount, normal, read_sealed

PLAN = {
    "grid": {
        **{"experiment": "e", "dataset": "d", "networks": {"n": 3}, "examples": [1], "seeds": [0, 1]},
        **{"iterations": [0, 5], "methods": ["m", "w"], "widths_from": {"w": "m"}, "calibrated": []},
    },
    "paths": {
        "prepare": "data.safetensors",
        "subset": "subset/seed-{seed}.safetensors",
        "pretrain": "pretrain/seed-{seed}/iteration-{iteration}.safetensors",
        "dense": "pretrain/seed-{seed}/iteration-{iteration}.dense.json",
        "prune": "prune/{method}/seed-{seed}/iteration-{iteration}.safetensors",
        "evaluate": "evaluate/{method}/seed-{seed}/iteration-{iteration}.json",
    },
    "stages": {
        name: {"of": name.split()[0]}
        for name in ("prepare", "subset", "pretrain n", "prune n m", "prune n w", "evaluate n", "look")
    },
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
    paths = PLAN["paths"]
    data = make("prepare", paths["prepare"], {})
    for seed in PLAN["grid"]["seeds"]:
        given = {"data": data}
        given["subset"] = make("subset", paths["subset"].format(seed=seed), dict(given), seed=seed)
        previous: dict[str, str] = {}
        for iteration in PLAN["grid"]["iterations"]:
            cell = {"seed": seed, "iteration": iteration}
            checkpoint = make("pretrain", paths["pretrain"].format(**cell), {**given, **previous}, **cell)
            previous = {"previous": checkpoint}
            chosen: dict[str, str] = {}
            for method in PLAN["grid"]["methods"]:
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
        audit = Audit(job.json("plan"))
        for row, _, result in audit.measured("evaluate"):
            audit.read(result)
            audit.read(PLAN["paths"]["dense"].format(**row))
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
    chain = Chain([table, f"./{table}", Path(table).absolute()])
    chain.check()
    order = [made.path for made in chain.made]
    assert len(order) == len(set(order)) == 1 + 2 + 4 + 8 + 8 + 1 + 1
    assert (order[0], order[-1]) in {("data.safetensors", table), ("plan.json", table)}
    for made in chain.made:
        for source, _ in made.sources():
            stem = artifacts.sidecar(source)
            assert [artifacts.sidecar(path) for path in order].index(stem) < order.index(made.path)
    assert sum(len(made.files) for made in chain.made) == len(order) + 4
    text = chain.text()
    assert [line.split()[:2] for line in text.splitlines()[1:-1]][:2] == [["collect", "1"], ["evaluate", "8"]]
    assert text.splitlines()[-2].startswith("prepare ")


def test_the_first_cause_is_named() -> None:
    table = experiment()
    for path in ("evaluate/m/seed-0/iteration-0.json", "subset/seed-0.safetensors", "table.csv"):
        Path(path).write_bytes(b"x" * Path(path).stat().st_size)
    with pytest.raises(Broken, match=r"^subset/seed-0.safetensors was altered"):
        Chain([table]).check()


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
    chain = Chain(["iteration-1199.json"])
    chain.check()
    assert len(chain.made) == 1200
    Path("iteration-7.json").write_bytes(b"8")
    with pytest.raises(Broken, match=r"iteration-7.json was altered\n.*, that of iteration-8.json"):
        chain.check()


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
        Chain([table]).check()
    reseal(table, gathered={})
    with pytest.raises(Broken, match=r"^less.provenance.json does not say what was gathered"):
        Chain([table]).check()


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
        Chain([table]).check()


def test_something_else_that_was_gathered_has_the_settings_of_its_stage() -> None:
    experiment()
    for name, settings in (("good", {"of": "look"}), ("bad", {"of": "look", "more": 1})):
        look = make("look", f"{name}.json", {"data": "data.safetensors"}, settings)
        with Job("gather", Path(f"of-{name}.csv"), {}, {"plan": "plan.json"}) as job:
            audit = Audit(job.json("plan"))
            audit.read(look)
            audit.conclude(job)
            job.save(".csv", b"")
    Chain(["of-good.csv"]).check()
    with pytest.raises(Broken, match=r"^bad.json does not fit plan.json.*made with more = 1"):
        Chain(["of-bad.csv"]).check()


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
        Chain([table]).check()


def test_a_cycle_that_swapped_sidecars_make_ends() -> None:
    make("x", "a.json", {})
    make("x", "b.json", {"source": "a.json"})
    first, second = Path("a.provenance.json"), Path("b.provenance.json")
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    chain = Chain(["a.json"])
    assert "a.json" in chain.text()
    with pytest.raises(Broken, match=r"a.provenance.json was written for b.json"):
        chain.check()


def test_only_what_is_temporary_may_be_gone() -> None:
    with Job("pretrain", Path("a.json"), {}, {}) as job:
        job.temporary = True
        job.save_json(1)
        job.save_json(2, ".dense.json")
    make("x", "b.json", {"checkpoint": "a.json", "dense": "a.dense.json"})
    Path("a.json").unlink()
    chain = Chain(["b.json"])
    chain.check()
    assert chain.deleted == {"a.json"}
    with pytest.raises(Broken, match=r"^a.json is missing"):
        Chain(["a.json"]).check()
    Path("a.dense.json").unlink()
    with pytest.raises(Broken, match=r"^a.dense.json is missing\n  b.json was made from it"):
        Chain(["b.json"]).check()


def test_a_file_that_cannot_be_read_is_named() -> None:
    make("x", "a.json", {})
    Path("a.json").unlink()
    Path("a.json").symlink_to("a.json")
    with pytest.raises(Broken, match=r"^a.json cannot be read"):
        Chain(["a.json"]).check()


def test_another_format_of_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    make("x", "a.json", {})
    monkeypatch.setattr(artifacts, "FORMAT", artifacts.FORMAT + 1)
    with pytest.raises(Broken, match=r"^a.json has another format"):
        Chain(["a.json"]).check()


def test_a_file_of_code_that_is_gone() -> None:
    make("x", "a.json", {})
    reseal("a.json", sources={"goodsubnet/losses.py": fingerprint.source_hash("goodsubnet/losses.py")})
    Chain(["a.json"]).check()
    reseal("a.json", sources={"goodsubnet/gone.py": "0", "goodsubnet/losses.py": "0"})
    with pytest.raises(Broken, match=r"see goodsubnet/gone.py \(gone\), goodsubnet/losses.py$"):
        Chain(["a.json"]).check()


def test_images_in_files_of_their_own_are_said_not_to_be_checked() -> None:
    make("prepare", "a.json", {}, {"storage": "files"})
    assert "not checked: the images" in Chain(["a.json"]).text()
    make("prepare", "b.json", {}, {"storage": "arrays"})
    assert "not checked" not in Chain(["b.json"]).text()


def test_paths_as_they_are_named(here: Path) -> None:
    assert normal("results//a/../b.csv", str(here)) == "results/b.csv"
    assert normal(str(here / "b.csv"), str(here)) == "b.csv"
    assert normal("/elsewhere/b.csv", str(here)) == "/elsewhere/b.csv"
    with pytest.raises(UserError, match=r"^nothing.png is not there"):
        Chain(["nothing.png"])


def test_amounts_for_people() -> None:
    assert [amount(size) for size in (7, 1500, 2.5e6, 52.3e9)] == ["7 B", "1.5 kB", "2.5 MB", "52.3 GB"]


def test_what_was_loaded_is_recorded_with_the_code_it_had() -> None:
    sources = fingerprint.loaded_sources()
    assert all(fingerprint.source_hash(name) == digest for name, digest in sources.items())
    assert all(name.startswith(("goodsubnet/", "scripts/")) for name in sources)
    assert not {name.split("/")[1].removesuffix(".py") for name in sources} & fingerprint.INFRASTRUCTURE
