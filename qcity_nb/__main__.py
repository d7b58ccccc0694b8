"""`python -m qcity_nb` is `qcity`, for whoever knows this interpreter and not its folder of programs."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
