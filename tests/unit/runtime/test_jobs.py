"""A job leaves complete artifacts or nothing, resumes only its own progress, and never works beside another."""

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from free_jobs import FreeJob as Job
from free_jobs import read_json

from goodsubnet.errors import UserError
from goodsubnet.runtime import artifacts, commands, jobs


def test_provenance_says_what_made_an_artifact(tmp_path):
    with Job("first", tmp_path / "a.json", {"code": "c"}, {}) as job:
        job.save_json([1])
    with Job("second", tmp_path / "b.json", {"rate": 2.0, "code": "d"}, {"source": tmp_path / "a.json"}, seed=3) as job:
        assert job.json("source") == [1]
        job.save_json({"x": 1})
        job.save_json({"y": 1}, ".more.json")
    recorded = artifacts.read_provenance(tmp_path / "b.json")
    assert recorded["stage"] == "second"
    assert recorded["settings"] == {"rate": 2.0, "code": "d"}
    assert recorded["wildcards"] == {"seed": 3}
    assert recorded["inputs"]["source"]["sha256"] == artifacts.sha256(tmp_path / "a.json")
    assert set(recorded["outputs"]) == {"b.json", "b.more.json"}
    assert recorded["versions"]["numpy"] == np.__version__
    assert recorded["peak_memory_bytes"] > 1e6
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.json",
        "a.provenance.json",
        "b.json",
        "b.more.json",
        "b.provenance.json",
    ]


def test_a_damaged_input_stops_a_job_before_it_begins(tmp_path):
    with Job("first", tmp_path / "a.json", {}, {}) as job:
        job.save_json([1])
    (tmp_path / "a.json").write_text("[2]")
    with (
        pytest.raises(UserError, match=r"a\.json is damaged"),
        Job("second", tmp_path / "b.json", {}, {"source": tmp_path / "a.json"}),
    ):
        pytest.fail("the job began")


def test_progress_is_resumed_by_the_same_work_only(tmp_path):
    output = tmp_path / "x.safetensors"
    base = ("pretrain", output, {"rate": 1, "code": "c"}, {})
    job = Job(*base, seed=0)
    with pytest.raises(KeyError), job:
        job.save_progress({"a": np.arange(3)})
        raise KeyError
    with pytest.raises(KeyError), Job(*base, seed=0) as again:
        np.testing.assert_array_equal(again.load_progress()["a"], np.arange(3))
        raise KeyError
    for other in (
        Job(*base, seed=1),
        Job("pretrain", output, {"rate": 2, "code": "c"}, {}, seed=0),
        Job("pretrain", output, {"rate": 1, "code": "d"}, {}, seed=0),
    ):
        with pytest.raises(KeyError), other:
            assert other.load_progress() is None
            raise KeyError
    with Job(*base, seed=0) as last:
        last.save_tensors({"a": np.arange(3)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.provenance.json", "x.safetensors"]


def test_damaged_progress_is_not_resumed(tmp_path, capsys):
    with pytest.raises(KeyError), Job("pretrain", tmp_path / "x.safetensors", {}, {}) as job:
        job.save_progress({"a": np.arange(3)})
        content = bytearray(job.progress_path.read_bytes())
        content[-1] ^= 1
        job.progress_path.write_bytes(content)
        assert job.load_progress() is None
        job.progress_path.write_bytes(b"")
        assert job.load_progress() is None
        raise KeyError
    assert "is damaged" in capsys.readouterr().out


def _make(output, value, hold, entered):
    with Job("slow", output, {"value": value}, {}) as job:
        entered.set()
        time.sleep(hold)
        job.save_json(value)


@pytest.mark.parametrize("same", [True, False])
def test_two_jobs_never_write_together(tmp_path, same):
    """The second waits for the first; it keeps the first's artifact if it would make the same, else makes its own."""
    context, output = multiprocessing.get_context("fork"), tmp_path / "x.json"
    first_in, second_in = context.Event(), context.Event()
    first = context.Process(target=_make, args=(output, 1, 1.0, first_in))
    first.start()
    assert first_in.wait(10)
    second = context.Process(target=_make, args=(output, 1 if same else 2, 0.0, second_in))
    began = time.monotonic()
    second.start()
    second.join(20)
    assert time.monotonic() - began > 0.5
    first.join(20)
    assert first.exitcode == second.exitcode == 0
    assert second_in.is_set() != same
    assert read_json(output) == (1 if same else 2)


def test_the_lock_of_a_killed_job_is_free(tmp_path):
    context, entered = multiprocessing.get_context("fork"), multiprocessing.get_context("fork").Event()
    process = context.Process(target=_make, args=(tmp_path / "x.json", 1, 60, entered))
    process.start()
    assert entered.wait(10)
    (tmp_path / ".x.json.abc.tmp").write_text("left by the killed job")
    process.kill()
    process.join()
    with Job("slow", tmp_path / "x.json", {}, {}) as job:
        job.save_json(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.json", "x.provenance.json"]


def test_a_lock_file_that_was_removed_under_us_is_not_taken_for_the_lock(tmp_path):
    """Two waiters must not both go on when the holder removes the file that they wait for."""
    stale = os.open(tmp_path / ".x.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(stale, fcntl.LOCK_EX)
    os.unlink(tmp_path / ".x.lock")
    with Job("test", tmp_path / "x.json", {}, {}) as job:
        assert jobs._same_file(tmp_path / ".x.lock", job._lock_descriptor)
        job.save_json(0)
    os.close(stale)


def _script(body: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"from goodsubnet.runtime import commands, signals\nfrom goodsubnet.errors import UserError\n{body}",
    ]


def test_errors_for_people_are_one_line_without_a_traceback():
    body = "def main():\n    raise UserError('key: what to do')\ncommands.run(main)"
    result = subprocess.run(_script(body), capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == "error: key: what to do\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_job_at_once_or_when_it_has_saved(number):
    body = """
import sys, time
def main():
    if sys.argv[1] == "deferred":
        with signals.deferred_signals():
            print("ready", flush=True)
            while signals.Signals.received is None:
                time.sleep(0.01)
            print("saved", flush=True)
        print("not reached")
    else:
        print("ready", flush=True)
        time.sleep(60)
commands.run(main)
"""
    for mode, said in (
        ("deferred", "saved\n"),
        ("at once", "stopped by a signal: the same command again makes this anew\n"),
    ):
        process = subprocess.Popen([*_script(body), mode], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == said
        assert process.wait(10) == 128 + number


def test_settings_come_as_json():
    arguments = commands.parser("text").parse_args(["--settings", json.dumps({"a": [1]}), "--output", "x.json"])
    assert arguments.settings == {"a": [1]}
