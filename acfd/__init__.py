"""acfd: metric learning for anti-compression facial forgery detection (Cao et al., ACM MM 2021)."""

__version__ = "0.1.0"


def __getattr__(name: str):
    # `from acfd import Detector` works, and `import acfd` loads nothing
    if name == "Detector":
        from acfd.detect.core import Detector

        return Detector
    raise AttributeError(f"module 'acfd' has no attribute {name!r}")
