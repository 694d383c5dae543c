"""The whole road with the smoke preset, by `dvc repro`, in a copy of the project as git has it.

One long test module in order: each test goes on from the state that the one before left.
"""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import nbformat
import pandas as pd
import project
import pytest
from project import environment, run

from acfd import params
from acfd.results.table import read_table

pytestmark = pytest.mark.timeout(1200)  # two dozen stages, each a process of its own
SYSTEMS = ["steg", "xception", "ours"]
ROWS = ["xception", "ours"]  # of Table 2
WORK = {"video", "faces", "train", "score", "copie", "robus", "featu"}  # what takes hours


@pytest.fixture(scope="module")
def copy(tmp_path_factory, rendered) -> Path:
    """The people of `rendered` lie where a build that was cut short leaves them."""
    copy = project.copy(tmp_path_factory.mktemp("study") / "acfd")
    shutil.copytree(rendered, copy / ".acfd")
    replace(copy / "params.yaml", "seed: 2026", "seed: 5")
    return copy


def replace(path: Path, old: str, new: str, after: str = ""):
    """Write `new` in place of `old` where it first comes, or first comes after a text."""
    text = path.read_text()
    at = text.index(old, text.index(after))
    path.write_text(text[:at] + new + text[at + len(old) :])


def ran(output: str) -> set[str]:
    """Stages that a `dvc repro` ran."""
    lines = [line.strip() for line in output.splitlines()]
    return {line.split("'")[1] for line in lines if line.startswith("Running stage '")}


def test_one_command_makes_everything_and_killed_goes_on(copy):
    """kill -9 of everything while videos are made; more kills: benchmarks/stress.py."""
    child = subprocess.Popen(
        ["dvc", "repro"],
        cwd=copy,
        env=environment(copy),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    videos = copy / "data" / "smoke" / "videos"
    while len(list(videos.rglob("[!.]*.mp4"))) < 5:
        assert child.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    kept = {path: path.stat().st_mtime_ns for path in videos.rglob("[!.]*.mp4")}
    assert not (copy / "results" / "smoke" / "recipes").exists()
    # a kill -9 may leave it half-written, see docs/scale.md
    (copy / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
    run(copy, "dvc", "repro")
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items()), "made again"
    results = copy / "results" / "smoke"
    table = read_table(results / "tables" / "table2.csv")
    low = table[table["compression"] == "c40"]
    assert low["row"].tolist() == ROWS
    assert low[["acc", "balanced_acc", "auc", "eer"]].notna().all(axis=None)
    table = pd.read_csv(results / "tables" / "table1.csv")
    here = (table["compression"] == "c40") & (table["method"] == "all")
    assert table[here]["row"].tolist() == SYSTEMS
    assert table[here][["acc", "balanced_acc", "auc", "eer"]].notna().all(axis=None)
    for name in (
        *("videos/forgeries", "faces/pairs", "table1/table1", "table1/compression"),
        *("table2/table2", "attention/gallery", "attention/cases", "robustness/areas"),
        "copies/levels",
    ):
        assert (results / "figures" / f"{name}.png").stat().st_size > 5000
    assert {f.stem for f in (results / "metrics" / "table2").iterdir()} == set(ROWS)
    # the report shows all of it, says what its pictures show, and needs nothing else
    text = (results / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]+"', text)
    assert not re.search(r"""@import|url\(["']?https?:""", text)
    images = re.findall(r"<img [^>]*>", text)
    assert len(images) >= 10 and all('alt="No' not in i and 'alt="' in i for i in images)
    assert "read_table" not in text  # no code
    for row in SYSTEMS:
        (path,) = results.rglob(f"metrics/runs/*/{row}-s0.json")
        seconds = json.loads(path.read_text())["seconds"]
        assert f">{row}-s0<" in text and f">{seconds:.4g}<" in text
    for name in ("table1", "table2", "compression"):
        for title in pd.read_csv(results / "tables" / f"{name}.csv")["title"]:
            assert html.escape(title) in text
    for row in SYSTEMS:
        assert len(pd.read_parquet(results / "scores" / f"{row}-s0.parquet")) > 0
    executed = copy / "results" / "smoke" / "notebooks" / "05_table2.ipynb"
    outputs = [c for c in nbformat.read(executed, as_version=4).cells if c.get("outputs")]
    assert len(outputs) >= 5


def test_metrics_and_plots_say_something(copy):
    shown = json.loads(run(copy, "dvc", "metrics", "show", "--json").split("\n")[0])
    assert "results/smoke/metrics/table2/ours.json" in json.dumps(shown)
    run(copy, "dvc", "plots", "show", "-o", "plots")
    html = (copy / "plots" / "index.html").read_text()
    assert "val_auc" in html and "gallery.png" in html


def test_a_dvc_lock_that_is_lost_trains_nothing_again(copy):
    """As docs/scale.md says of one that a kill cut off: runs come out of DVC's cache."""
    lock, run_of = copy / "dvc.lock", copy / "data" / "smoke" / "runs" / "steg-s0"
    text = lock.read_text()
    lock.unlink()
    shutil.rmtree(run_of)
    assert not ran(run(copy, "dvc", "repro", "-s", "train@smoke-steg-0"))
    assert (run_of / "run.json").is_file() and "train@smoke-steg-0" in lock.read_text()
    lock.write_text(text)


def test_a_second_repro_does_nothing_and_prose_and_a_notebooks_outputs_make_nothing_stale(copy):
    output = run(copy, "dvc", "repro")
    assert not ran(output) and "up to date" in output
    replace(copy / "notebooks" / "03_train.ipynb", '"outputs": []', '"outputs": [{"text": "2"}]')
    path = copy / "acfd" / "runs" / "train.py"
    path.write_text(path.read_text() + "\n# a comment more\n")
    assert ran(run(copy, "dvc", "repro")) == {"sources"}


def test_a_fresh_clone_lacks_data_alone_and_makes_a_table_without_it(copy, tmp_path):
    subprocess.run(["git", "add", "-A"], cwd=copy, check=True)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, "commit", "-qm", "study"], cwd=copy, check=True)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(copy), str(clone)], check=True)
    status = json.loads(run(clone, "dvc", "status", "--json"))
    changes = [files for stage in status.values() for entry in stage for files in entry.values()]
    assert {how for files in changes for how in files.values()} <= {"deleted", "not in cache"}
    # a table's own parameter remakes that table, and then the report; no digest changes
    made = {"sources", "table2@smoke"}
    replace(clone / "params.yaml", "bootstrap: 200", "bootstrap: 150", after="table2:")
    assert ran(run(clone, "dvc", "repro", "--allow-missing", "table2@smoke")) == made
    assert ran(run(clone, "dvc", "repro", "--allow-missing", "--dry")) == {"report@smoke"}


def test_edited_code_retrains_what_uses_it(copy):
    path = copy / "acfd" / "baselines" / "steg.py"
    text = path.read_text()
    replace(path, "STEPS = (1, 2, 4)", "STEPS = (1, 2, 3)")
    run(copy, "dvc", "repro", "sources")
    would = {stage for stage in ran(run(copy, "dvc", "repro", "--dry")) if stage[:5] in WORK}
    assert would == {"train@smoke-steg-0", "score@smoke-steg-0"}
    path.write_text(text)


def test_an_experiment_trains_the_row_that_it_changes_alone(copy):
    change = "rows.steg.set.train.qualities=[high]"
    output = run(copy, "dvc", "exp", "run", "-S", change, "score@smoke-steg-0")
    assert ran(output) == {"sources", "train@smoke-steg-0", "score@smoke-steg-0"}
    stale = set(json.loads(run(copy, "dvc", "status", "--json")))
    assert {"table1@smoke", "report@smoke"} <= stale and not stale & {"score2@smoke-ours-0"}
    kept = params.load(copy / "params.yaml").for_row("steg")
    assert kept.train.qualities == ["high"]
