"""What a report shows of each stage: tables as Markdown, and figures with their words.

A section is made from files that its stage left in results/<preset>. Without them it says which
command makes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from acfd.degrade import FAMILIES
from acfd.params import Params
from acfd.paths import Paths
from acfd.report.words import ABOUT, FIGURES
from acfd.robustness.curves import ALL as EVERY_FAMILY
from acfd.tables import REAL, markdown, read_table
from acfd.tables.method import collapse_said


class ReportError(ValueError):
    """A file in results/ that a report cannot be made from; says which, and what to do."""


@dataclass(frozen=True)
class Table:
    title: str
    text: str  # Markdown
    note: str = ""


@dataclass(frozen=True)
class Figure:
    path: Path  # the PNG; an SVG may lie beside it
    shows: str  # in place of the picture, for those who cannot see it
    says: str  # below it


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    about: str
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    more: list[Figure] = field(default_factory=list)  # shown when asked for
    command: str = ""  # what makes it, if it is not there


def of_study(params: Params, paths: Paths) -> list[Section]:
    """Every section, in the order of the page.

    Raises ReportError for a file that is not as this version writes it.
    """
    made = []
    for id_, title, file, stage, tables in SECTIONS:
        command, shown = f"dvc repro {stage}@{paths.preset}", []
        figures = _named(paths, id_)
        there = (paths.results / file).is_file() if file else bool(figures)
        if there and tables:
            try:
                shown = tables(params, paths, paths.results / file)
            except (KeyError, IndexError, ValueError, TypeError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else error
                raise ReportError(
                    f"{paths.results / file}: {what}; not as this version writes it, make it "
                    f"again: {command}"
                ) from None
        if there and (shown or not tables):  # a table without rows has no section
            made.append(Section(id_, title, ABOUT[id_], shown, figures, _others(paths, id_)))
        elif not there and (id_ != "left_out" or params.table1.left_out):
            made.append(Section(id_, title, ABOUT[id_], command=command))
    return made


def _named(paths: Paths, id_: str) -> list[Figure]:
    """The figures of a section that FIGURES has words for, as far as they are there."""
    found = [Figure(paths.figures / f"{n}.png", *words) for n, words in FIGURES[id_].items()]
    return [f for f in found if f.path.is_file()]


def _others(paths: Paths, id_: str) -> list[Figure]:
    """Other figures in a section's folder, families of degradations in their order."""
    elsewhere = {name for names in FIGURES.values() for name in names}
    found = {p.stem: p for p in sorted((paths.figures / id_).glob("*.png"))}
    families = [name for name in FAMILIES if name in found and id_ == "robustness"]
    shown = []
    for name in dict.fromkeys([*families, *found]):
        plain = name.replace("_", " ").capitalize()
        shows, says = f"A figure of the stage {id_}: {plain}.", f"{plain}."
        if name in families:
            title = FAMILIES[name].title
            shows = f"AUC and balanced accuracy of every system by level of {title}."
            says = f"{title}, from mild to strong, with intervals."
        if f"{id_}/{name}" not in elsewhere:
            shown.append(Figure(found[name], shows, says))
    return shown


def _table1(_: Params, paths: Paths, path: Path) -> list[Table]:
    table = read_table(path)
    note = markdown.table1_caption(table, _study(paths))
    return [
        Table("All manipulations", markdown.table1(table), note),
        Table("AUC by manipulation", markdown.methods(table)),
    ]


def _compression(_: Params, __: Paths, path: Path) -> list[Table]:
    drops = read_table(path)
    return [Table("AUC at both qualities", markdown.compression(drops))] if len(drops) else []


def _left_out(_: Params, __: Paths, path: Path) -> list[Table]:
    table = read_table(path)
    return [Table("AUC on what was left out", markdown.left_out(table))] if len(table) else []


def _table2(_: Params, paths: Paths, path: Path) -> list[Table]:
    table = read_table(path)
    note = markdown.caption(table, _study(paths))
    return [Table("One loss after the other", markdown.table2(table), note)]


def _study(paths: Paths) -> dict:
    path = paths.metrics / "study.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _attention(_: Params, paths: Paths, path: Path) -> list[Table]:
    head = ["Row", "Tested at", "Faces are", "Faces", "IoU"]
    head += [f"{b} branch, {p}" for b in ("High", "Low") for p in ("forged", "elsewhere")]
    numbers = [f"{b}_branch_{p}" for b in ("high", "low") for p in ("inside", "outside")]
    lines = []
    for _, line in read_table(path).iterrows():
        method = "real" if line["method"] == REAL else line["method"]
        cells = [line["title"], line["compression"], method, f"{line['faces']}"]
        lines.append(cells + [_number(line[c]) for c in ("iou", *numbers)])
    found = [Table("How well the maps fit", markdown.grid(head, lines))] if lines else []
    path = paths.tables / "features.csv"
    if not path.is_file():
        return found
    head = ["Row", "Training", "To its own other quality", "To other people's", "Ratio"]
    head += ["Its own is nearest"]
    lines = []
    for _, line in read_table(path).iterrows():
        cells = [line["title"], line["state"]]
        cells += [_number(line[c]) for c in ("own", "other", "ratio")]
        lines.append([*cells, f"{100 * line['nearest']:.0f} %"])
    found.append(Table("Distances of features", markdown.grid(head, lines)))
    return [*found, *_real_beside_forged(paths), *_method(paths)]


def _real_beside_forged(paths: Paths) -> list[Table]:
    path = paths.tables / "attention_real.csv"
    if not path.is_file():
        return []
    head = ["Row", "Tested at", "Branch", "Forged region", "Real faces", "Ratio", "IoU, percent"]
    lines = []
    for _, line in read_table(path).iterrows():
        cells = [line["title"], line["compression"], line["branch"]]
        cells += [_number(line["forged"]), _number(line["real"]), _ranged(line, "ratio")]
        lines.append([*cells, markdown.percent(line, "iou")])
    return [Table("Real faces beside forged ones", markdown.grid(head, lines))]


def _method(paths: Paths) -> list[Table]:
    """What the method's losses reached, and what makes the map of Eq. 5 collapse."""
    found = []
    names = {"norm_real": "|C|, real", "radius_real": "r-", "norm_forged": "|C|, forged"}
    names |= {"radius_fake": "r+", "hinge_real": "Hinges met, real"}
    names |= {"hinge_forged": "Hinges met, forged", "ratio": "Own other quality / other faces"}
    maps = {"attention_inside": "M, forged region", "attention_outside": "M, rest"}
    maps |= {"attention_real": "M, real faces"}
    names |= maps | {"critic": "Critic's loss"}
    path = paths.tables / "method.csv"
    if path.is_file() and len(table := read_table(path)):
        of = table.to_dict("records")
        lines = [[line["title"], *(_number(line[c]) for c in names)] for line in of]
        text = markdown.grid(["Row", *names.values()], lines)
        found.append(Table("At the end of training: does the method do what it says?", text))
    path = paths.tables / "collapse.csv"
    if path.is_file() and len(table := read_table(path)):
        head = ["Loss of M, form, learning rate, M_H", *maps.values(), "Collapsed"]
        lines = [
            [line["title"], *(_number(line[c]) for c in maps), "yes" if line["collapsed"] else "no"]
            for _, line in table.iterrows()
        ]
        note = collapse_said(table)
        found.append(Table("The collapse of Eq. 5, taken apart", markdown.grid(head, lines), note))
    return found


def _ranged(line: pd.Series, name: str) -> str:
    if pd.isna(line[name]):
        return "–"
    value, low, high = (_number(line[name + end]) for end in ("", "_lo", "_hi"))
    return f"{value} ({low} to {high})"


def areas(table: pd.DataFrame) -> str:
    """Area under each system's robustness curves, the mean over all families, in percent."""
    reference = markdown.title_of(table, table["reference"].iloc[0])
    head, measures = ["Row"], {"auc": "AUC", "balanced_acc": "Balanced ACC"}
    for name in measures.values():
        head += [name, f"{name}, difference to “{reference}”"]
    lines = []
    for _, line in table[table["family"] == EVERY_FAMILY].iterrows():
        cells = [line["title"]]
        for m in measures:
            cells += [markdown.percent(line, m), markdown.percent(line, f"diff_{m}", "{:+.1f}")]
        lines.append(cells)
    return markdown.grid(head, lines) + markdown.not_converged(table)


def areas_by_family(table: pd.DataFrame) -> str:
    """Area under the curves of AUC, a column a family of degradations, in percent."""
    families = [f for f in dict.fromkeys(table["family"]) if f != EVERY_FAMILY]
    lines = []
    for _, of_row in table.groupby("row", sort=False):
        of = of_row.set_index("family")
        cells = [markdown.percent(of.loc[f], "auc") for f in families]
        lines.append([of_row["title"].iloc[0], *cells])
    names = [FAMILIES[f].title if f in FAMILIES else f for f in families]
    return markdown.grid(["Row", *names], lines) + markdown.not_converged(table)


def _robustness(_: Params, __: Paths, path: Path) -> list[Table]:
    table = read_table(path)
    line = table.iloc[0]
    note = (
        f"Percent, with {100 * line['confidence']:g} % intervals from {line['resamples']} "
        f"resamples of {line['units']} pairs of identities."
    )
    return [
        Table("Area, mean over all families", areas(table), note),
        Table("Area of AUC by family", areas_by_family(table)),
    ]


def _calibration(_: Params, __: Paths, path: Path) -> list[Table]:
    said = json.loads(path.read_text())
    lines = []
    for what in ("frames", "videos"):
        fit = said[what]
        span = f"{fit['temperature']:.2f} ({fit['low']:.2f} to {fit['high']:.2f})"
        numbers = [f"{fit[c]:.3f}" for c in ("ece_before", "ece", "log_loss_before", "log_loss")]
        lines.append([what, span, f"{fit['samples']}", f"{fit['units']}", *numbers])
    head = ["Of", "Temperature", "Samples", "Pairs of people"]
    head += ["Error before", "Error after", "Log loss before", "Log loss after"]
    test = []
    for name, of in said["test"].items():
        cells = [name, f"{of['videos']}", f"{100 * of['auc']:.1f}"]
        test.append([*cells, f"{100 * of['balanced_acc']:.1f}", f"{of['ece']:.3f}"])
    return [
        Table(f"Fitted on validation, run {said['run']}", markdown.grid(head, lines)),
        Table(
            "Videos of the test split",
            markdown.grid(["Tested at", "Videos", "AUC", "Balanced ACC", "Error"], test),
            "AUC and balanced accuracy in percent, here without intervals.",
        ),
    ]


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


# id, title, the file in results/<preset> that it is made from (the data: figures alone), the stage
# that makes it, and its tables
SECTIONS: list[tuple[str, str, str, str, Callable | None]] = [
    ("table1", "Table 1: every system", "tables/table1.csv", "table1", _table1),
    ("compression", "What compression costs", "tables/compression.csv", "table1", _compression),
    ("left_out", "A manipulation left out", "tables/left_out.csv", "table1", _left_out),
    ("table2", "Table 2: what each loss is worth", "tables/table2.csv", "table2", _table2),
    ("attention", "Attention and features", "tables/attention.csv", "attention", _attention),
    ("robustness", "Robustness", "tables/robustness_areas.csv", "curves", _robustness),
    ("calibration", "Calibration", "metrics/calibration.json", "calibrate", _calibration),
    ("data", "The data", "", "faces", None),
]
