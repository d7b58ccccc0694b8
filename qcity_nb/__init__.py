"""CI runners that you start from a notebook, that stay up, repair themselves, and say in one sentence what went wrong."""

__version__ = "0.1.0"
