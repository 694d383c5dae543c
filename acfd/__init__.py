"""acfd: metric learning for anti-compression facial forgery detection (Cao et al., ACM MM 2021)."""

__version__ = "0.1.0"
