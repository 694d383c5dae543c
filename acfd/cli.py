"""`acfd ...`: what the stages call, and a few commands for people. Run from the project's top."""

import argparse
import os
import sys
from pathlib import Path

from acfd import params as params_module
from acfd.params import ParamsError, load
from acfd.paths import Paths


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number from 0 to {2**31 - 1}")
    return int(text)


# What a command takes; its function below, _NAME, says what it does
ANY_RUN = {"--row": {"help": "a row of params.yaml"}, "--seed": {"type": _count}}
ONE_RUN = {name: {"required": True, **how} for name, how in ANY_RUN.items()}


def _flag(text: str) -> dict:
    return {"action": "store_true", "help": text}


def _shard(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    if not (i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r}; expected I/N, from 1/N to N/N")
    return int(i), int(n)


COMMANDS = {
    "plan": {},
    "preset": {"name": {"help": "pocket, full, ffpp, smoke, or your own presets/NAME.yaml"}},
    "check": {
        "--deep": _flag("decode every file, not a sample"),
        "--all": _flag("list every problem and note"),
    },
    "faces": {"--shard": {"type": _shard, "metavar": "I/N", "help": "only the I-th of N parts"}},
    "sources": {"file": {"type": Path}},
    "notebook": {"name": {"help": "01_videos, 02_faces, ..., 09_report"}} | ANY_RUN,
    "train": ONE_RUN,
    "score": ONE_RUN,
    "calibrate": {},
    "detect": ANY_RUN
    | {
        "path": {"nargs": "*", "type": Path, "help": "images, videos, and folders of them"},
        "-o --out": {"type": Path, "help": "folder for what is written (default: detections)"},
        "--json": _flag(
            "a line of JSON a file, on stdout; see docs/detect.md. Files are written only where "
            "--out is given"
        ),
        "--no-overlay": _flag("write no pictures and videos"),
        "--frames": {"type": _count, "help": "frames a video, 0: all of them"},
        "--model": {"type": Path, "help": "a folder that `acfd export` or `acfd release` wrote"},
        "--real": {
            "type": Path,
            "help": "folder of reports that this command wrote of files known to be real: what "
            "scores as high as they do is not called forged",
        },
        "--backend": {"choices": ("auto", "openvino", "torch")},
        "--card": _flag("print the model card"),
    },
    "export": ANY_RUN
    | {"-o --out": {"type": Path, "help": "folder (default: data/<preset>/exports/<run>)"}},
    "release": ONE_RUN
    | {"-o --out": {"type": Path, "default": "detector", "help": "folder (default: detector)"}},
    "copies": {},
    "robustness": ONE_RUN,
    "features": ONE_RUN,
    "readme": {"--check": _flag("only say whether they are up to date")},
}


def main(argv: list[str] | None = None) -> int:
    sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may be any bytes
    args = _parser().parse_args(argv)
    try:
        return globals()[f"_{args.command}"](args) or 0
    except KeyboardInterrupt:
        kept = "DVC_STAGE" in os.environ or args.command in ("faces", "copies", "train")
        hint = "; run the same command again to go on" if kept else ""
        print(f"interrupted{hint}", file=sys.stderr)
        return 130
    except Exception as error:
        # of an error whose message was not written for the user the traceback is wanted
        ours = isinstance(error, OSError) or type(error).__module__.startswith("acfd.")
        if args.traceback or not ours:
            raise
        print(f"acfd {args.command}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="acfd", description=__doc__)
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, takes in COMMANDS.items():
        text = globals()[f"_{name}"].__doc__
        sub = commands.add_parser(name, help=text, description=text)
        for argument, how in takes.items():
            sub.add_argument(*argument.split(), **how)
    return parser


def _paths() -> tuple[params_module.Params, Paths]:
    p = load()
    return p, Paths.of(p)


def _one(args) -> tuple[params_module.Params, str, int, Paths]:
    p, paths = _paths()
    return p, args.row, args.seed, paths


def _tree(p: params_module.Params):
    from acfd import videos
    from acfd.videos import ffpp

    tree = videos.tree(p)
    d = p.data
    if d.source == "synthff" and not d.splits and not Path(d.root, "splits").is_dir():
        raise ffpp.TreeError(
            f"{d.root}: SynthFF has not been made yet; `dvc repro videos@{p.preset}` makes it"
        )
    return tree


def _plan(_):
    """say what `dvc repro` would do, and about how long it takes"""
    from acfd.stages.plan import plan

    print(plan(load()))


def _preset(args):
    """write a preset's values into params.yaml (comments stay)"""
    params_module.apply_preset(args.name)
    print(f"params.yaml now has the values of presets/{args.name}.yaml; `dvc repro` runs it")


def _check(args):
    """verify the data set before hours of work"""
    from acfd.videos import check

    p = load()
    d, how = p.data, {"wanted": p.faces.frames, "jobs": p.compute.jobs}
    decode = None if args.deep else check.SAMPLE
    found = check.survey(_tree(p), d.methods, d.high, d.low, decode=decode, **how)
    print(check.report(found, most=None if args.all else 30))
    return int(len(found.problems) > 0)


def _faces(args):
    """extract the faces, or a part of them as one of several jobs"""
    from acfd.faces.extract import extract, unmasked
    from acfd.videos import recipes

    p, paths = _paths()
    index, left_out, timing = extract(p, _tree(p), paths.faces, shard=args.shard)
    what = f"part {args.shard[0]} of {args.shard[1]}" if args.shard else str(paths.faces)
    print(f"{what}: {len(index)} pairs, {len(left_out)} entries of what was left out")
    if note := unmasked(index):
        print(note)
    print(f"{timing.clips} videos done now in {timing.wall:.0f} s, {timing.memory} MiB a process")
    if args.shard:
        print("when all parts are done, `acfd faces` (or `dvc repro`) writes the index")
    else:
        recipes.faces(p, paths)


def _sources(args):
    """write what code each stage and run depends on (a stage)"""
    from acfd import sources

    sources.write(load(), args.file)


def _notebook(args):
    """run one notebook of the study (a stage)"""
    from acfd.stages import notebook

    _, paths = _paths()
    given = {k: v for k in ("row", "seed") if (v := getattr(args, k)) is not None}
    name = "-".join([args.name, "-s".join(map(str, given.values()))]).rstrip("-")
    target = paths.notebooks / f"{name}.ipynb"
    notebook.run(Path("notebooks", f"{args.name}.ipynb"), target, given)
    table = paths.tables / f"{args.name[3:]}.csv"
    print("look at", *(path for path in (target, table) if path.is_file()))


def _train(args):
    """train one run without its notebook (for torchrun and SLURM)"""
    from acfd.runs import run

    run.run(*_one(args))


def _score(args):
    """write the scores of one run (a stage)"""
    from acfd.scores.score import score

    score(*_one(args))


def _calibrate(_):
    """fit the probabilities of detect.row's run (a stage)"""
    from acfd.detector import calibrate

    calibrate.write(*_paths())


def _detect(args):
    """say of images and videos whether their faces are forged"""
    from acfd.detector import command

    return command.run(args)


def _export(args):
    """write a run as ONNX and OpenVINO, with its model card"""
    from acfd.detector import export

    p, paths = _paths()
    row = args.row or p.detect.row
    seed = p.detect.seed if args.seed is None else args.seed
    folder = args.out or paths.export(row, seed)
    for name in export.export(p, paths, row, seed, folder)["files"]:
        print(folder / name)


def _release(args):
    """make a run the detector that comes with acfd, if it is better on validation videos"""
    from acfd.detector import release

    p, row, seed, paths = _one(args)
    said = release.write(p, paths, row, seed, args.out)
    print(f"{args.out}: {row}-s{seed}, validation AUC {said['validation_auc']:.4f}")


def _copies(_):
    """cut test faces from degraded copies of their videos (a stage)"""
    from acfd import figures
    from acfd.figures import robustness
    from acfd.scores import copies
    from acfd.videos import recipes

    p, paths = _paths()
    store = copies.make(p, _tree(p), paths)
    figures.use_style()
    figures.save(robustness.copies(store), paths, "copies/levels", vector=False)
    recipes.copies(p, paths, store.note)
    print(f"{paths.copies}: {len(store)} faces, made of {store.note['made_of']}")
    for family, why in store.note["left_out"].items():
        print(f"{family} is left out: {why}")


def _robustness(args):
    """write what one run says of every copy (a stage)"""
    from acfd.scores import on_copies

    on_copies.score(*_one(args))


def _features(args):
    """write where a run's features of test faces lie (a stage)"""
    from acfd.scores import features

    features.store(*_one(args))


def _readme(args):
    """rewrite the tables of README.md and docs/results.md from results/"""
    from acfd.results import pages

    for path, text in pages.rewrite(Path()).items():
        if text == path.read_text():
            continue
        if args.check:
            raise ParamsError(f"{path}: its tables differ from results/; run `acfd readme`")
        path.write_text(text)
