"""The road over a FaceForensics++ look-alike with a fault of every kind: each one is reported, by
the check before and by the extraction, which makes faces of what is left."""

import re

import lookalike
import pytest
from conftest import write_params
from lookalike import METHODS

from acfd import cli
from acfd.faces import extract
from acfd.faces.shards import PairTable
from acfd.paths import Paths
from acfd.videos.check import survey


@pytest.fixture(scope="module")
def made(portraits, tmp_path_factory) -> lookalike.LookAlike:
    return lookalike.build(portraits, tmp_path_factory.mktemp("lookalike") / "FaceForensics++")


@pytest.fixture(scope="module")
def params(made, make_params):
    data = {"source": "ffpp", "root": str(made.tree.root), "methods": list(METHODS)}
    return make_params(data=data, faces={"frames": 4, "size": 64, "detect_size": 128})


@pytest.mark.parametrize(("decode", "jobs"), [(0, 2), (None, 1)])
def test_the_check_finds_every_fault_and_nothing_else(made, decode, jobs):
    found = survey(
        made.tree, METHODS, "c23", "c40", wanted=4, decode=decode, jobs=jobs, progress=False
    )
    expected = made.problems | (made.undecodable if decode is None else {})
    said = {f"{r.method}/{r.video}": (r.kind, r.what) for r in found.problems.itertuples()}
    assert len(said) == len(found.problems)
    assert {name: kind for name, (kind, _) in said.items()} == {
        n: k for n, (k, _) in expected.items()
    }
    for name, (_, text) in expected.items():
        assert text in said[name][1]
    assert len(found.notes) == len(made.notes)
    for text in made.notes:
        assert any(text in note for note in found.notes), text
    unused = [n for n, (kind, _) in expected.items() if kind != "frames"]
    assert len(found.sound) == 50 - len(unused)
    assert not {str(c) for c in found.sound} & set(unused)


def test_acfd_check_says_what_is_wrong_and_what_brings_it(
    made, params, tmp_path, monkeypatch, capsys
):
    write_params(params, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"original +c40 +10 +9 +1", said)
    root = re.escape(str(made.tree.root))
    assert re.search(rf"faceforensics_download_v4.py {root} -d original -c c40 -t videos\n", said)
    assert all(f"{name}: " in said for name in made.problems)
    assert "44 of 50 clips can be used, 7 problems" in said
    assert [p.name for p in tmp_path.iterdir()] == ["params.yaml"]


def test_the_extraction_leaves_out_what_is_wrong_and_says_why(made, params, tmp_path):
    paths = Paths(params.preset, tmp_path)
    index, left_out, _ = extract.extract(params, made.tree, paths.faces, progress=False)

    said = {(f"{r.method}/{r.video}", r.frame): r.why for r in left_out.itertuples()}
    assert len(said) == len(left_out)
    assert set(said) == set(made.left_out)
    for key, text in made.left_out.items():
        assert text in said[key], key

    gone = {name for (name, frame), why in said.items() if frame == "" and "used" not in why}
    counts = index.groupby(["method", "video"]).size()
    taken = {f"{method}/{video}": n for (method, video), n in counts.items()}
    every = {str(c) for c in made.tree.clips(METHODS)}
    assert set(taken) == every - gone and len(gone) == 9
    assert taken.pop("Deepfakes/000_003") == 3
    assert set(taken.values()) == {4}

    table = PairTable(paths.faces)
    for i in index.index[::3]:
        pair = table.read(i)
        assert pair["mask"].any() == bool(pair["label"])
        if pair["target"] in lookalike.TWO_FACES and pair["label"]:
            assert pair["box"][2] < 110, "the forged face is the left one, not the larger one"


def test_a_method_without_masks_is_checked(made):
    found = survey(made.tree, ["FaceShifter"], "c23", "c40", progress=False)
    assert any("FaceShifter: 10 of 10 forged videos have no mask" in note for note in found.notes)
    assert "mask" not in found.folders["what"].tolist()
    assert "FaceShifter/000_003" in map(str, found.sound)
