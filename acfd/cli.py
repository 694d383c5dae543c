"""`acfd ...`: what the stages call, and a few commands for people. Run from the project's top."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from acfd import params as params_module
from acfd.params import ParamsError, load
from acfd.paths import Paths


def main(argv: list[str] | None = None) -> int:
    sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may be any bytes
    args = _parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        kept = "DVC_STAGE" in os.environ or args.command in ("faces", "copies", "train")
        hint = "; run the same command again to go on" if kept else ""
        print(f"interrupted{hint}", file=sys.stderr)
        return 130
    except Exception as error:
        if args.traceback or not _is_ours(error):
            raise
        print(f"acfd {args.command}: {error}", file=sys.stderr)
        return 1


def _is_ours(error: Exception) -> bool:
    """Errors whose message was written for the user; of any other the traceback is wanted."""
    return isinstance(error, OSError) or type(error).__module__.startswith("acfd.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="acfd", description=__doc__)
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    command("plan", _plan, "say what `dvc repro` would do, and about how long it takes")

    sub = command("preset", _preset, "write a preset's values into params.yaml (comments stay)")
    sub.add_argument("name", help="pocket, full, ffpp, smoke, or your own presets/NAME.yaml")

    sub = command("check", _check, "verify the FaceForensics++ tree before hours of work")
    sub.add_argument("--deep", action="store_true", help="decode every file, not a sample")
    sub.add_argument("--all", action="store_true", help="list every problem and note")
    sub.add_argument("--quick", action="store_true", help="no estimate of disk and hours")

    sub = command("faces", _faces, "extract the faces, or a part of them as one of several jobs")
    sub.add_argument("--shard", type=_shard, metavar="I/N", help="only the I-th of N parts")

    sub = command("strip", _strip, "copy a folder's notebooks without outputs")
    sub.add_argument("source", type=Path)
    sub.add_argument("target", type=Path, help="may be the same folder")

    sub = command("sources", _sources, "write what code each stage and run depends on (a stage)")
    sub.add_argument("file", type=Path)

    sub = command("notebook", _notebook, "run one notebook of the study (a stage)")
    sub.add_argument("name", help="01_videos, 02_faces, ..., 09_report")
    _run_of(sub, required=False)

    sub = command("train", _train, "train one run without its notebook (for torchrun and SLURM)")
    _run_of(sub)

    sub = command("score", _score, "write the scores of one run (a stage)")
    _run_of(sub)

    command("calibrate", _calibrate, "fit the probabilities of detect.row's run (a stage)")

    sub = command("detect", _detect, "say of images and videos whether their faces are forged")
    sub.add_argument("path", nargs="*", type=Path, help="images, videos, and folders of them")
    sub.add_argument(
        "-o", "--out", type=Path, help="folder for what is written (default: detections)"
    )
    sub.add_argument("--json", action="store_true", help="a line of JSON a file, on stdout; see "
                     "docs/detect.md. Files are written only where --out is given")  # fmt: skip
    sub.add_argument("--no-overlay", action="store_true", help="write no pictures and videos")
    sub.add_argument("--frames", type=int, help="frames a video, 0: all of them")
    sub.add_argument("--model", type=Path, help="a folder that `acfd export` wrote")
    sub.add_argument("--backend", help="auto, openvino, onnx, torch")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")
    sub.add_argument("--card", action="store_true", help="print the model card")
    _run_of(sub, required=False)

    sub = command("export", _export, "write a run as ONNX and OpenVINO, with its model card")
    sub.add_argument("-o", "--out", type=Path, help="folder (default: data/<preset>/exports/<run>)")
    _run_of(sub, required=False)

    command("copies", _copies, "cut test faces from degraded copies of their videos (a stage)")

    sub = command("robustness", _robustness, "write what one run says of every copy (a stage)")
    _run_of(sub)

    sub = command("features", _features, "write where a run's features of test faces lie (a stage)")
    _run_of(sub)

    sub = command(
        "readme", _readme, "rewrite the tables of README.md and docs/results.md from results/"
    )
    sub.add_argument("--check", action="store_true", help="only say whether they are up to date")
    return parser


def _shard(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    if not (i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r}; expected I/N, from 1/N to N/N")
    return int(i), int(n)


def _run_of(sub: argparse.ArgumentParser, required: bool = True):
    sub.add_argument("--row", required=required, help="a row of params.yaml")
    sub.add_argument("--seed", type=int, required=required)


def _paths() -> tuple[params_module.Params, Paths]:
    p = load()
    return p, Paths.of(p)


def _tree(p: params_module.Params):
    from acfd import datasets, ffpp

    tree = datasets.tree(p)
    d = p.data
    if d.source == "synthff" and not d.splits and not Path(d.root, "splits").is_dir():
        raise ffpp.TreeError(
            f"{d.root}: SynthFF has not been made yet; `dvc repro videos@{p.preset}` makes it"
        )
    return tree


def _plan(_):
    from acfd.plan import measured, plan

    p = load()
    print(plan(p, measured(p)))


def _preset(args):
    params_module.apply_preset(args.name)
    print(f"params.yaml now has the values of presets/{args.name}.yaml; `dvc repro` runs it")


def _check(args):
    from acfd import datasets
    from acfd.datasets import check

    p = load()
    d = p.data
    if d.source in datasets.FILE_SETS:
        problems = _tree(p).check(d.methods, d.high, d.low, jobs=p.compute.jobs)
        print(problems.to_string(index=False) if len(problems) else f"{d.root}: no problems found")
        return int(len(problems) > 0)
    found = check.survey(
        _tree(p),
        d.methods,
        d.high,
        d.low,
        wanted=p.faces.frames,
        decode=None if args.deep else check.SAMPLE,
        jobs=p.compute.jobs,
    )
    print(check.report(found, most=None if args.all else 30))
    if args.quick:
        return int(len(found.problems) > 0)
    from acfd.datasets import estimate

    about = estimate.extraction(p, found)
    print(about or "no clip is whole, so nothing can be measured")
    if about and about.problem:
        print(about.problem)
    return int(len(found.problems) > 0 or not about or bool(about.problem))


def _faces(args):
    from acfd import faces, recipes

    p, paths = _paths()
    index, left_out, timing = faces.extract(p, _tree(p), paths.faces, shard=args.shard)
    what = f"part {args.shard[0]} of {args.shard[1]}" if args.shard else str(paths.faces)
    print(f"{what}: {len(index)} pairs, {len(left_out)} entries of what was left out")
    print(f"{timing.clips} videos done now in {timing.wall:.0f} s, {timing.memory} MiB a process")
    if not args.shard:
        recipes.faces(p, paths)
    else:
        print("when all parts are done, `acfd faces` (or `dvc repro`) writes the index")


def _strip(args):
    from acfd import notebook

    notebook.strip_all(args.source, args.target)


def _sources(args):
    from acfd import sources

    sources.write(load(), args.file)


def _notebook(args):
    from acfd import notebook

    _, paths = _paths()
    given = {k: v for k, v in (("row", args.row), ("seed", args.seed)) if v is not None}
    name = args.name + (f"-{args.row}-s{args.seed}" if given else "")
    target = notebook.run(
        Path("notebooks", f"{args.name}.ipynb"), paths.notebooks / f"{name}.ipynb", given
    )
    table = paths.tables / f"{args.name[3:]}.csv"
    print("look at", *(path for path in (target, table) if path.is_file()))


def _train(args):
    from acfd import runs

    p, paths = _paths()
    runs.run(p, args.row, args.seed, paths)


def _score(args):
    from acfd import evaluate

    p, paths = _paths()
    evaluate.score(p, args.row, args.seed, paths)


def _calibrate(_):
    from acfd.deploy import calibrate

    calibrate.write(*_paths())


def _detect(args):
    from acfd.detect import command

    return command.run(args)


def _export(args):
    from acfd.deploy import export

    p, paths = _paths()
    row = args.row or p.detect.row
    seed = p.detect.seed if args.seed is None else args.seed
    folder = args.out or paths.export(row, seed)
    said = export.export(p, paths, row, seed, folder)
    for name in said["files"]:
        print(folder / name)


def _copies(_):
    from acfd import figures, recipes
    from acfd.figures import robustness
    from acfd.robustness import copies

    p, paths = _paths()
    index = copies.make(p, _tree(p), paths)
    store = copies.Copies(paths.copies)
    figures.use_style()
    figures.save(robustness.copies(store), paths, "copies/levels", vector=False)
    note = store.note
    recipes.copies(p, paths, note)
    print(f"{paths.copies}: {len(index)} faces, made of {note['made_of']}")
    for family, why in note["left_out"].items():
        print(f"{family} is left out: {why}")


def _robustness(args):
    from acfd.robustness import score

    p, paths = _paths()
    score.score(p, args.row, args.seed, paths)


def _features(args):
    from acfd.attention import extract

    p, paths = _paths()
    extract.store(p, args.row, args.seed, paths)


def _readme(args):
    from acfd.tables import pages

    for path, text in pages.rewrite(Path()).items():
        if text == path.read_text():
            continue
        if args.check:
            raise ParamsError(f"{path}: its tables differ from results/; run `acfd readme`")
        path.write_text(text)
