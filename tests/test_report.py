"""The report: what it says of results that are written down here, and what its HTML may hold."""

import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from setuptools import Distribution

from acfd import cli, params, report
from acfd.paths import Paths
from acfd.report import facts, headline, sections
from acfd.report.words import ABOUT, FIGURES
from acfd.tables import TEXT, write_table

TOP = Path(__file__).parents[1]
COMMON = {"seeds": "0", "units": 12, "frames": 60, "collapsed": 0, "resamples": 200}
COMMON |= {"confidence": 0.95, "compression": "c40", "paper_acc": np.nan, "paper_auc": 91.5}
EVIL = 'Xception <script>alert(1)</script> | "q" & ![x](http://e.org/x.png) [y](http://e.org)'
VOID = {"meta", "img", "br", "hr", "link", "input"}


def said(name: str, value: float, width: float = 0.05) -> dict:
    return {name: value, f"{name}_lo": value - width, f"{name}_hi": value + width}


def table(rows: dict[str, str], reference: str, diff: float, **more) -> pd.DataFrame:
    lines = []
    for row, title in rows.items():
        line = {"row": row, "title": title, "reference": reference} | COMMON | more
        for m in ("acc", "balanced_acc", "auc"):
            line |= said(m, 0.7)
        for m in ("balanced_acc", "auc"):
            line |= said(f"diff_{m}", np.nan if row == reference else diff)
        lines.append(line)
    return pd.DataFrame(lines)


def table1(title: str = "Xception") -> pd.DataFrame:
    rows = {"xception": title, "ours": "Ours"}
    more = {"always_forged": 0.8, "ours": "ours", "train_seconds": 90.0, "parameters": 2e7}
    parts = [table(rows, "xception", 0.2, method=m, **more) for m in ("all", "Deepfakes")]
    return pd.concat(parts, ignore_index=True)


def drops() -> pd.DataFrame:
    line = {"row": "ours", "title": "Ours", "trained_on": "c23 + c40", "high": "c23"}
    line |= COMMON | {"low": "c40", "reference": "ours"} | said("diff_drop_auc", np.nan)
    return pd.DataFrame(
        [line | said("auc_high", 0.9) | said("auc_low", 0.8) | said("drop_auc", 0.1)]
    )


def attention() -> pd.DataFrame:
    places = [f"{b}_branch_{p}" for b in ("high", "low") for p in ("inside", "outside")]
    line = {"row": "ours", "title": "Ours", "compression": "c40", "faces": 12, "iou": np.nan}
    return pd.DataFrame([line | {"method": "original"} | dict.fromkeys(places, 0.25)])


def areas() -> pd.DataFrame:
    rows = {"xception": "Xception", "ours": "Ours"}
    parts = [table(rows, "ours", 0.02, family=f) for f in ("all", "jpeg")]
    return pd.concat(parts, ignore_index=True)


def calibration() -> dict:
    fit = {"temperature": 2.0, "low": 1.5, "high": 2.5, "samples": 96, "units": 12, "ece": 0.09}
    fit |= {"ece_before": 0.13, "log_loss": 0.6, "log_loss_before": 0.7}
    test = {"c40": {"videos": 96, "auc": 0.7, "balanced_acc": 0.6, "ece": 0.1}}
    return {"run": "ours-s0", "frames": fit, "videos": fit, "test": test}


def write_figure(path: Path, width: int = 300, height: int = 200, noise: bool = False):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width, 3), 255, np.uint8)
    if noise:
        pixels = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
    cv2.imwrite(str(path), pixels)


@pytest.fixture
def top(tmp_path) -> Path:
    """A project's folder at the preset pocket, without results."""
    (tmp_path / "presets").mkdir()
    for name in ("params.yaml", "presets/pocket.yaml"):
        (tmp_path / name).write_text((TOP / name).read_text())
    params.apply_preset("pocket", tmp_path / "params.yaml", tmp_path / "presets")
    return tmp_path


@pytest.fixture
def paths(top) -> Paths:
    return Paths.of(params.load(top / "params.yaml"), top)


@pytest.fixture
def results(paths) -> Paths:
    """What every stage leaves, small."""
    write_table(table1(), paths.tables.parent / "tables" / "table1.csv")
    write_table(drops(), paths.tables / "compression.csv")
    write_table(pd.DataFrame(columns=TEXT), paths.tables / "left_out.csv")
    rows = {"cls_c40": "Xception, c40", "cls_at": "One loss", "cls_at_dis_gan": "All losses"}
    write_table(table(rows, "cls_c40", 0.02), paths.tables / "table2.csv")
    write_table(attention(), paths.tables / "attention.csv")
    features = {
        "row": "ours",
        "title": "Ours",
        "state": "after",
        "own": 3.0,
        "other": 4.0,
        "ratio": 0.75,
    }
    write_table(pd.DataFrame([features | {"nearest": 0.5}]), paths.tables / "features.csv")
    write_table(areas(), paths.tables / "robustness_areas.csv")
    paths.metrics.mkdir(parents=True)
    (paths.metrics / "calibration.json").write_text(json.dumps(calibration()))
    for name in (n for figures in FIGURES.values() for n in figures):
        write_figure(paths.figures / f"{name}.png")
    return paths


def make(top: Path) -> str:
    return report.write(params.load(top / "params.yaml"), top).read_text()


class Page(HTMLParser):
    """Tags in order; fails on tags that are not closed in their order."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_the_page_needs_nothing_but_itself(top, results):
    text = make(top)
    page = Page(text)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert "url(" not in text and "@import" not in text
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    images = page.all("img")
    assert len(images) == sum(map(len, FIGURES.values())) - 1  # no row was left out
    for image in images:
        assert image["src"].startswith("data:image/png;base64,") and len(image["alt"]) > 15
        assert int(image["width"]) == 192 and int(image["height"]) == 128  # 300 x 200 at 150 dots
    links = [a["href"] for a in page.all("a")]
    assert not [x for x in links if re.match(r"[a-z]+:|//|/", x)]
    for link in links:
        if not link.startswith("#"):
            assert (results.results / link).is_file(), link


def test_anchors_and_names_fit(top, results):
    page = Page(make(top))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    wanted += [s["aria-labelledby"] for s in page.all("section")]
    assert set(wanted) <= set(ids)
    assert {s["id"] for s in page.all("section")} > set(ABOUT) - {"left_out"}
    assert page.all("html") == [{"lang": "en"}]


def test_every_section_has_words_and_figures():
    known = [id_ for id_, *_ in sections.SECTIONS]
    assert set(ABOUT) == set(FIGURES) == set(known)
    names = [name for figures in FIGURES.values() for name in figures]
    assert len(names) == len(set(names))


def test_notebooks_save_no_figure_without_words():
    """Any other figure is shown too, but only its name can be said of it."""
    saved = set()
    for notebook in (TOP / "notebooks").glob("0*.ipynb"):
        saved |= set(re.findall(r'paths, \\"([a-z0-9_]+/[a-z0-9_]+)\\"', notebook.read_text()))
    named = {name for figures in FIGURES.values() for name in figures}
    assert saved == named - {"calibration/reliability"}


def test_without_results_each_section_says_which_command(top):
    page, p = Page(make(top)), params.load(top / "params.yaml")
    for stage in ("table1", "table2", "attention", "curves", "calibrate", "faces"):
        assert f"dvc repro {stage}@pocket makes it" in page.words
    assert "There is no table yet." in page.words
    assert not page.all("img")
    runs = len(p.trained) * len(p.study.seeds)
    assert f"0 of {runs} runs are there" in page.words
    assert page.words.count("dvc repro train@pocket-") == runs


def test_the_stages_that_are_named_exist():
    stages = re.findall(r"^  (\w+):$", (TOP / "dvc.yaml").read_text(), re.M)
    assert {stage for *_, stage, _ in sections.SECTIONS} < set(stages)
    assert "report" in stages


def test_numbers_are_those_of_the_tables(top, results):
    text = Page(make(top)).words
    assert "Table 1, all manipulations, c40: “Ours” against “Xception”" in text
    assert "Difference, paired +20.0 (+15.0 to +25.0)" in text
    assert "Higher: the interval excludes zero." in text
    assert "Table 2, c40: “All losses” against “Xception, c40”" in text
    assert "+2.0 (-3.0 to +7.0) Not settled: the interval includes zero." in text
    assert "Saying “forged” always has an ACC of 80 %." in text
    assert "2.00 (1.50 to 2.50)" in text and "JPEG" in text and "50 %" in text
    assert "(not made yet)" not in text
    assert "one seed was trained" in text


@pytest.mark.parametrize(
    "low, high, word",
    [
        (0.001, 0.2, "higher"),
        (-0.2, -0.001, "lower"),
        (-0.1, 0.3, "not settled"),
        (0.0, 0.3, "not settled"),
        (-0.3, 0.0, "not settled"),
        (np.nan, np.nan, "no interval"),
    ],
)
def test_what_an_interval_says(low, high, word):
    assert headline.reading(low, high).startswith(word)


def test_a_title_is_text(top, results):
    write_table(table1(EVIL), results.tables / "table1.csv")
    text = (top / "params.yaml").read_text()
    new = text.replace('title: "F3-Net"', f"title: '{EVIL}'", 1)
    assert new != text
    (top / "params.yaml").write_text(new)
    text = make(top)
    assert "<script" not in text and 'src="http' not in text and 'href="http' not in text
    page = Page(text)
    assert page.words.count(EVIL) >= 5  # headline, tables, runs, params.yaml
    assert not any(src in str(page.tags) for src in ("e.org/x.png", "javascript"))


def test_a_table_keeps_its_columns_and_marks_its_heads():
    text = report.table_html("| Row | AUC |\n| --- | ---: |\n| a \\| b | 70.0 |\n| **c** | <i> |")
    page = Page(text)
    assert [h.get("scope") for h in page.all("th")] == ["col", "col", "row", "row"]
    assert len(page.all("td")) == 2
    assert page.words == "Row AUC a | b 70.0 **c** <i>"


def test_figures_are_embedded_small(tmp_path):
    path = tmp_path / "a.png"
    write_figure(path, 3000, 400, noise=True)
    assert path.stat().st_size > 3_000_000
    found = report.picture(path)
    assert found["src"].startswith("data:image/webp;base64,")
    assert len(found["src"]) < 2_000_000 and (found["width"], found["height"]) == (1920, 256)
    svg = path.with_suffix(".svg")
    svg.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert report.picture(path)["src"].startswith("data:image/svg+xml;base64,")
    svg.write_text(" " * (report.VECTOR + 1))
    assert report.picture(path)["src"].startswith("data:image/webp;base64,")
    path.write_bytes(b"not a picture")
    with pytest.raises(report.ReportError, match=r"a\.png: not a PNG"):
        report.picture(path)


def test_other_figures_are_folded(top, results):
    for name in ("scale", "h264", "of_a_new_kind"):
        write_figure(results.figures / "robustness" / f"{name}.png")
    page = Page(make(top))
    assert "3 more figures" in page.words
    says = ["H.264, from mild", "Made smaller, from mild", "Of a new kind."]
    assert [page.words.index(s) for s in says] == sorted(page.words.index(s) for s in says)


def write_run(paths: Paths, row: str, seconds: float, p: params.Params, seed: int = 0):
    scored = {"seconds": seconds, "epochs": 3, "kept_epoch": 2, "stopped": "x", "collapsed": True}
    paths.summary(row, seed).parent.mkdir(parents=True, exist_ok=True)
    paths.summary(row, seed).write_text(json.dumps(scored))
    folder = paths.run(row, seed)
    folder.mkdir(parents=True)
    own = {"train_seconds": seconds, "machine": "2 CPU cores", "versions": {"torch": "2.15"}}
    own |= {"params": p.for_row(row).model_dump(mode="json")}
    (folder / "run.json").write_text(json.dumps(own))


def test_runs_have_durations_and_a_sum(top, paths):
    p = params.load(top / "params.yaml")
    write_run(paths, "cls_c40", 600, p)
    write_run(paths, "ours", 1500, p)
    (paths.notebooks).mkdir()
    (paths.notebooks / "03_train-ours-s0.ipynb").write_text("{}")
    page = Page(make(top))
    said = f"2 of {len(p.trained)} runs are there; their training took 35 min in all."
    assert said in page.words
    assert "Xception, c40 (collapsed) cls_c40-s0 10 min – 3 (2) x 2 CPU cores 2.15" in page.words
    assert {"href": "notebooks/03_train-ours-s0.ipynb"} in page.all("a")
    assert "had other parameters" not in page.words


def test_a_run_with_other_parameters_is_named(top, paths):
    p = params.load(top / "params.yaml")
    train = p.train.model_copy(update={"epochs": p.train.epochs + 1})
    write_run(paths, "ours", 60, p.model_copy(update={"train": train}))
    write_run(paths, "f3net", 60, p)
    text = Page(make(top)).words
    assert "1 run had other parameters" in text and "ours-s0 : train.epochs" in text


def test_changed_parameters_stand_beside_the_presets(top):
    p = params.load(top / "params.yaml")
    preset = top / "presets" / "pocket.yaml"
    assert facts.changed(p, preset) == []
    faces = p.faces.model_copy(update={"frames": 99})
    found = facts.changed(p.model_copy(update={"faces": faces}), preset)
    assert found == [("faces.frames", p.faces.frames, 99)]
    assert facts.changed(p, top / "presets" / "none.yaml") is None


def test_params_are_shown_whole(top):
    assert "# names the folders data/<preset>/" in Page(make(top)).words
    p = params.load(top / "params.yaml")
    other = p.model_copy(update={"score": p.score.model_copy(update={"batch": 5})})
    page = Page(report.write(other, top).read_text())  # not what params.yaml says
    assert "batch: 5" in page.words and "# names the folders" not in page.words


def git(top: Path, *arguments: str):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=top, check=True, capture_output=True)


def test_the_commit_and_what_changed(top, paths):
    git(top, "init", "-q")
    assert "not known: git says: fatal" in Page(make(top)).words  # nothing committed yet
    git(top, "add", "params.yaml", "presets")
    git(top, "commit", "-qm", "all")
    found = facts.commit(top)
    assert re.fullmatch(r"[0-9a-f]{40}", found.id) and found.changed == ()  # results do not count
    assert f"Commit {found.id} of" in Page(make(top)).words
    assert "none, results aside" in Page(make(top)).words
    (top / "a new file.txt").write_text("x")
    (top / "params.yaml").write_text((top / "params.yaml").read_text() + "\n# more\n")
    assert facts.commit(top).changed == ("a new file.txt", "params.yaml")
    assert "2, results aside: a new file.txt , params.yaml" in Page(make(top)).words
    assert "git checkout of its own" in facts.commit(top / "presets").why


def test_without_git_it_says_so(top, monkeypatch):
    monkeypatch.setenv("PATH", "")
    text = Page(make(top)).words
    assert "commit not known" in text and "not known: git is not installed here" in text


def test_versions_are_of_what_the_project_asks_for():
    found = facts.versions()
    assert next(iter(found)) == "acfd" and "torch" in found and "pytest" not in found
    assert re.match(r"\d+\.", found["pandas"])


def test_machine_has_no_name(tmp_path):
    import platform

    said = facts.machine()
    assert said["Python"] == platform.python_version() and said["Cores"][0].isdigit()
    assert platform.node() not in said.values()
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: other\n")
    assert facts._processor(cpuinfo) == "Some CPU @ 2 GHz"
    assert facts._processor(tmp_path / "none")


def test_a_preset_in_its_own_words():
    said = facts.about_preset(TOP / "presets" / "smoke.yaml")
    assert said.startswith("smoke: ") and "Command" not in said and "\n" not in said


def test_a_file_of_another_version_is_named_and_the_old_page_stays(top, results):
    make(top)
    old = (results.results / "report.html").read_text()
    write_table(table1().drop(columns="auc_lo"), results.tables / "table1.csv")
    with pytest.raises(report.ReportError, match=r"table1\.csv: no 'auc_lo'.*repro table1@pocket"):
        make(top)
    assert (results.results / "report.html").read_text() == old
    assert [p.name for p in results.results.glob(".*")] == []  # nothing half-written


def test_the_command(top, results, monkeypatch, capsys):
    monkeypatch.chdir(top)
    assert cli.main(["report"]) == 0
    assert "results/pocket/report.html: " in capsys.readouterr().out
    assert (results.results / "report.html").stat().st_size < 200_000


def test_the_template_is_installed_with_the_package(monkeypatch):
    monkeypatch.chdir(TOP)
    project = Distribution()
    project.parse_config_files(["pyproject.toml"])
    build = project.get_command_obj("build_py")
    build.ensure_finalized()
    build.manifest_files = {}  # what is listed for a source archive does not count
    found = build.find_data_files("acfd.report", build.get_package_dir("acfd.report"))
    assert [Path(name).name for name in found] == [report.TEMPLATE]


def contrast(a: str, b: str) -> float:
    """WCAG 2.2, relative luminance."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_read():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    text = (TOP / "acfd" / "report" / report.TEMPLATE).read_text()
    themes = [
        dict(re.findall(r"--(\w+): (#\w{6})", t))
        for t in re.findall(r":root \{(.*?)\}", text, re.S)
    ]
    assert len(themes) == 3  # light, dark, print
    for theme in themes:
        for back in ("back", "card", "code"):
            for front in ("text", "quiet", "link"):
                assert contrast(theme[front], theme[back]) >= 4.5, (front, back, theme)
    for theme in themes[:2]:
        assert contrast(theme["mark"], theme["back"]) >= 3
