"""What is written can be trusted: atomic, the same bytes for the same content, checked on reading."""

import errno
import os

import numpy as np
import pytest
from free_jobs import FreeJob as Job
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

from goodsubnet.errors import UserError
from goodsubnet.runtime import artifacts

DTYPES = [np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_]


def made(folder, **tensors):
    """An artifact with its sidecar."""
    path = folder / "made.safetensors"
    with Job("test", path, {"code": "0"}, {}) as job:
        job.save_tensors(tensors or {"x": np.arange(100, dtype=np.float32)})
    return path


@settings(deadline=None)
@given(
    tensors=st.dictionaries(
        st.sampled_from("abcde"),
        st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))),
        min_size=1,
    )
)
def test_mapped_tensors_are_those_that_the_safetensors_library_reads(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "x.safetensors"
    path.write_bytes(artifacts.encode_tensors(tensors))
    mapped, read = artifacts.map_tensors(path), load_file(path)
    assert mapped.keys() == read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert mapped[name].dtype == tensor.dtype
        np.testing.assert_array_equal(mapped[name], tensor)
        np.testing.assert_array_equal(read[name], tensor)


def test_the_same_content_gives_the_same_bytes_in_any_order():
    tensors = {name: np.full(3, i) for i, name in enumerate("abcdefgh")}
    backwards = dict(reversed(tensors.items()))
    assert artifacts.encode_tensors(tensors) == artifacts.encode_tensors(backwards)


def test_mapped_tensors_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="read-only"):
        artifacts.map_tensors(made(tmp_path))["x"][0] = 1


def test_a_flipped_byte_is_refused_with_the_files_name(tmp_path):
    path = made(tmp_path)
    content = bytearray(path.read_bytes())
    for position in (3, len(content) // 2, len(content) - 1):
        altered = bytearray(content)
        altered[position] ^= 1
        path.write_bytes(altered)
        with pytest.raises(UserError, match=r"made\.safetensors is damaged: its content"):
            artifacts.verify(path)
    path.write_bytes(content)
    artifacts.verify(path)
    assert artifacts.map_tensors(path)["x"][99] == 99


def test_truncated_and_missing_files_are_refused(tmp_path):
    path = made(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="is damaged: it has"):
        artifacts.verify(path)
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        artifacts.verify(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"outputs": {}}', b"null"])
def test_a_damaged_sidecar_is_refused(tmp_path, content):
    path = made(tmp_path)
    artifacts.sidecar(path).write_bytes(content)
    with pytest.raises(UserError, match=r"made\.provenance\.json is damaged"):
        artifacts.verify(path)
    artifacts.sidecar(path).unlink()
    with pytest.raises(UserError, match=r"made\.provenance\.json is missing"):
        artifacts.verify(path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path, monkeypatch, call):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "x.json").write_bytes(b"before")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(UserError, match=r"cannot write .*x\.json: No space left on device"):
        artifacts.write(tmp_path / "x.json", b"after")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert (tmp_path / "x.json").read_bytes() == b"before"


def test_a_folder_that_cannot_be_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        artifacts.write(tmp_path / "file" / "x.json", b"")
    with pytest.raises(UserError, match="cannot write"), Job("test", tmp_path / "file" / "x.json", {}, {}):
        pass


def test_nan_is_no_number_for_json():
    with pytest.raises(ValueError, match="JSON"):
        artifacts.encode_json({"loss": float("nan")})
