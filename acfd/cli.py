"""`acfd ...`: what the stages call, and a few commands for people. Run from the project's top."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from acfd import params as params_module
from acfd.params import ParamsError, load
from acfd.paths import Paths


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
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

    command("check", _check, "verify the FaceForensics++ tree before hours of work")

    sub = command("strip", _strip, "copy a notebook without outputs (a stage)")
    sub.add_argument("source", type=Path)
    sub.add_argument("target", type=Path)

    sub = command("sources", _sources, "write what code each run depends on (a stage)")
    sub.add_argument("folder", type=Path)

    sub = command("notebook", _notebook, "run one notebook of the study (a stage)")
    sub.add_argument("name", help="01_videos, 02_faces, 03_train, 05_table2")
    _run_of(sub, required=False)

    sub = command("train", _train, "train one run without its notebook (for torchrun and SLURM)")
    _run_of(sub)

    sub = command("score", _score, "write the scores of one run (a stage)")
    _run_of(sub)

    sub = command("readme", _readme, "rewrite the README's tables from results/")
    sub.add_argument("--check", action="store_true", help="only say whether they are up to date")
    return parser


def _run_of(sub: argparse.ArgumentParser, required: bool = True):
    sub.add_argument("--row", required=required, help="a row of params.yaml")
    sub.add_argument("--seed", type=int, required=required)


def _paths() -> tuple[params_module.Params, Paths]:
    p = load()
    return p, Paths(p.preset)


def _plan(_):
    from acfd.plan import clear_broken_lock, plan

    print(plan(load()))
    if clear_broken_lock():
        print("cleared a lock file of DVC's that a killed run had left half-written")


def _preset(args):
    params_module.apply_preset(args.name)
    print(f"params.yaml now has the values of presets/{args.name}.yaml; `dvc repro` runs it")


def _check(_):
    from acfd import ffpp

    p = load()
    problems = ffpp.check(ffpp.tree(p), p.data.methods, p.data.high, p.data.low)
    if len(problems):
        print(problems.to_string(index=False))
        print(f"{len(problems)} problems below {p.data.root}")
        return 1
    print(f"{p.data.root}: complete for {', '.join(p.data.methods)} at {p.data.high}, {p.data.low}")
    return 0


def _strip(args):
    from acfd import notebook

    notebook.strip(args.source, args.target)


def _sources(args):
    from acfd import sources

    sources.write(load(), args.folder)


def _notebook(args):
    from acfd import notebook

    _, paths = _paths()
    given = {k: v for k, v in (("row", args.row), ("seed", args.seed)) if v is not None}
    name = args.name + (f"-{args.row}-s{args.seed}" if given else "")
    notebook.run(
        Path("data/notebooks", f"{args.name}.ipynb"), paths.notebooks / f"{name}.ipynb", given
    )


def _train(args):
    from acfd import runs

    p, paths = _paths()
    runs.run(p, args.row, args.seed, paths)


def _score(args):
    from acfd import evaluate

    p, paths = _paths()
    evaluate.score(p, args.row, args.seed, paths)


def _readme(args):
    from acfd import tables

    path = Path("README.md")
    old = text = path.read_text()
    for name, block in tables.readme_blocks(Path("results")).items():
        text = tables.replace_between_markers(text, name, block)
    if args.check:
        if text != old:
            raise ParamsError("README.md: its tables differ from results/; run `acfd readme`")
        return
    path.write_text(text)
