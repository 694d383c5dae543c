"""Stages and runs depend on the code that they use: on all of it, and on nothing else."""

import json
import shutil
from pathlib import Path

import pytest
from project import STATE, TOP

from acfd import params, sources
from acfd.params import Params

METHOD = {"media.wheels", "method.backbone", "method.losses", "method.model", "method.system"}
METHOD |= {"method.two_branch"}
RUNS = {"runs.run", "runs.pairs", "runs.loop", "runs.train", "runs.distributed"}


@pytest.fixture
def study():
    return params.load(STATE / "params.yaml")


class Package:
    """A copy of the package and the notebooks, to be edited."""

    def __init__(self, folder: Path, monkeypatch):
        self.top = folder
        for name in ("acfd", "notebooks"):
            shutil.copytree(TOP / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(sources, "TOP", folder / "acfd")
        self.digests = {}

    def change(self, name: str, old: str, new: str):
        path = self.top / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def stale(self, study) -> set[str]:
        """Stages and rows whose digests are other than at the last call."""
        sources.write(study, self.top / "sources.json")
        said = json.loads((self.top / "sources.json").read_text())
        now = said["stages"] | {"study": said["study"]}
        for kind in ("rows", "scores"):
            now |= {f"{kind}.{row}": key for row, key in said[kind].items()}
        before, self.digests = self.digests, now
        return {name for name, key in now.items() if before.get(name) != key}


@pytest.fixture
def package(tmp_path, monkeypatch, study):
    copy = Package(tmp_path, monkeypatch)
    rows = {f"rows.{row}" for row in study.rows}
    scores = {f"scores.{row}" for row in study.rows}
    assert copy.stale(study) == set(sources.STAGES) | rows | scores | {"study"}
    sources.made_by.cache_clear()
    yield copy
    sources.made_by.cache_clear()


def test_a_row_depends_on_its_own_system_and_on_what_it_makes_afresh(study):
    assert set(sources.of_row(study, "cls_at")) == METHOD | RUNS
    assert set(sources.of_row(study, "meso4")) >= RUNS | {"baselines.mesonet"}
    others = {"baselines.steg", "runs.blended", "method.losses", "method.two_branch"}
    assert not others & set(sources.of_row(study, "meso4")), "a baseline is none of the paper's"
    fresh = set(sources.of_row(study, "xray_c40"))
    assert {"runs.blended", "media.blend", "baselines.xray"} <= fresh


def test_a_row_depends_on_the_parameters_that_it_takes_and_a_table_on_all_rows(study, package):
    raw = study.model_dump()
    raw["loss"]["dis"] = 0.123
    assert package.stale(Params(**raw)) >= {"rows.cao", "rows.meso4"}
    raw["rows"]["cao"]["set"] |= {"model": {"critic_width": 7}}
    raw["rows"]["meso4"]["title"] = "another"  # of what a table shows
    assert package.stale(Params(**raw)) == {"rows.cao", "study"}
    raw["data"]["methods"] = [*raw["data"]["methods"], "Wide"]
    raw["table1"]["unseen"] = ["Wide"]
    scored = {name for name in package.stale(Params(**raw)) if name.startswith("scores.")}
    assert scored == {f"scores.{row}" for row in study.rows if row not in study.table2.rows}
    raw["study"]["seeds"] = [1]
    raw["detect"]["seed"] = 1
    assert package.stale(Params(**raw)) == set()


def test_videos_depend_on_no_figure_and_no_check_and_faces_on_all_that_cuts_them():
    videos, faces = (set(sources.of_stage(stage)) for stage in ("videos", "faces"))
    assert {"videos.synthff.forgeries", "media.blend", "media.video"} <= videos
    assert not {"figures", "results.table", "videos.check", "faces.crops"} & videos
    assert {"media.track", "media.centerface", "faces.crops", "videos.compress"} <= faces
    assert not {"figures", "results.table"} & (faces | set(sources.of_stage("copies")))
    assert {"results.table2", "results.metrics", "figures"} <= set(sources.of_stage("table2"))


def test_what_decides_nothing_makes_nothing_stale(study, package):
    package.change("acfd/runs/train.py", '"""Training: ', '"""Another text: ')
    package.change("acfd/runs/train.py", "VANISHED = 0.05", "# why\nVANISHED = 0.05  # so much")
    package.change("acfd/faces/extract.py", "none of its {len(of)}", "not one of its {len(of)}")
    package.change("notebooks/03_train.ipynb", "# 3. Train", "# 3. Training, in other words")
    package.change("notebooks/04_table1.ipynb", '"outputs": []', '"outputs": [{"a": 1}]')
    assert package.stale(study) == set()


@pytest.mark.parametrize(
    ("name", "old", "new", "stale"),
    [
        ("baselines/steg.py", "STEPS = (1, 2, 4)", "STEPS = (1, 2, 3)", {"rows.steg"}),
        ("detector/media.py", "def look", "MORE = 1\n\n\ndef look", {"calibrate"}),
        ("videos/synthff/build.py", "def build", "MORE = 1\n\n\ndef build", {"videos"}),
        ("scores/score.py", "COUNTS =", "MORE = 1\nCOUNTS =", {"score", "features", "robustness"}),
    ],
)
def test_code_makes_stale_what_imports_it(study, package, name, old, new, stale):
    package.change(f"acfd/{name}", old, new)
    assert package.stale(study) == stale


def test_the_core_and_a_notebooks_cell_make_stale_what_they_must(study, package):
    package.change("acfd/runs/train.py", "VANISHED = 0.05", "VANISHED = 0.06")
    rows = {f"rows.{row}" for row in study.rows}
    assert package.stale(study) == rows | {"score", "features", "robustness"}
    package.change("notebooks/03_train.ipynb", "run(study, row", "run(study, row + ''")
    assert package.stale(study) == {"train"}


def test_the_same_code_in_another_place_has_the_same_digests(study, package):
    elsewhere = {stage: sources.of_stage(stage) for stage in sources.STAGES}
    made = {what: sources.made_by(what) for what in sources.MADE_BY}
    sources.TOP = TOP / "acfd"
    sources.made_by.cache_clear()
    assert elsewhere == {stage: sources.of_stage(stage) for stage in sources.STAGES}
    assert made == {what: sources.made_by(what) for what in sources.MADE_BY}
