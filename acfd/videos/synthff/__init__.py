"""SynthFF: FaceForensics++ in miniature, made on the user's machine from generated people. It shows
whether the road and the method work and does not replace FaceForensics++."""

from acfd.videos.synthff.build import BuildError, build
from acfd.videos.synthff.people import PeopleError

__all__ = ["BuildError", "PeopleError", "build"]
