"""The report: the stage's own command, on results that are in git."""

import html
import json
import re
import shutil
import subprocess

import pandas as pd
from project import STATE, TOP, environment
from ruamel.yaml import YAML

from acfd import params
from acfd.paths import Paths


def test_the_page_holds_all_of_a_preset_and_needs_nothing_else(tmp_path):
    (tmp_path / "params.yaml").write_text((STATE / "params.yaml").read_text())
    (tmp_path / "notebooks").symlink_to(TOP / "notebooks")
    there, here = STATE / "results" / "pocket", tmp_path / "results" / "pocket"
    shutil.copytree(there, here, ignore=shutil.ignore_patterns("*.parquet", "notebooks", "*.html"))
    runs = here / "metrics" / "runs"
    p = params.load(STATE / "params.yaml")
    files = {row: Paths.of(p, tmp_path).summary(row, 0) for row in p.trained}
    for path in files.values():  # results in git may be older than the rows of params.yaml
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            shutil.copy(next(runs.rglob("*.json")), path)
    stages = YAML(typ="safe").load((TOP / "dvc.yaml").read_text())["stages"]
    command = stages["report"]["cmd"].replace("${item.preset}", "pocket")
    subprocess.run(command, shell=True, cwd=tmp_path, env=environment(TOP), check=True)
    text = (here / "report.html").read_text()

    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]+"', text)
    assert not re.search(r"""@import|url\(["']?https?:""", text)
    images = re.findall(r"<img [^>]*>", text)
    assert len(images) >= 10 and all('alt="No' not in i and 'alt="' in i for i in images)
    assert "read_table" not in text  # no code
    for name in ("table1", "table2", "compression"):
        for title in pd.read_csv(there / "tables" / f"{name}.csv")["title"]:
            assert html.escape(title) in text
    for row, path in files.items():
        said = json.loads(path.read_text())
        assert f">{row}-s0<" in text and f">{said['seconds']:.4g}<" in text
