"""SynthFF: FaceForensics++ in miniature, made on the user's machine from generated people. It shows
whether the road and the method work and does not replace FaceForensics++."""

from pathlib import Path

from acfd.params import Params
from acfd.videos.ffpp import Tree
from acfd.videos.synthff.build import BuildError, build
from acfd.videos.synthff.people import PeopleError

__all__ = ["BuildError", "PeopleError", "build", "few"]


def few(params: Params, root: Path, **how) -> Tree:
    """A tree of six people at `root`, made in seconds, to look at where the study has none yet;
    how: as of `build`."""
    six = params.synthff.identities.model_copy(update={"train": 2, "val": 2, "test": 2})
    small = params.synthff.model_copy(update={"identities": six})
    build(params.model_copy(update={"synthff": small}), root, **how)
    return Tree(root)
