"""The `qcity` command. Parses, calls the client, prints; every failure is a sentence and an exit code.

0 fine, 1 failed or unhealthy, 2 bad input, 130 ended by Ctrl-C. Whatever nobody foresaw is caught here and nowhere else:
its traceback goes to a file, its reader gets the file's path.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import QCityError, StoreFull


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        from .parser import parse

        code = _dispatch(parse(given))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: the flush at exit must not fail again
        return 0
    except QCityError as error:
        print(complaint(error), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return _crashed(error, given)
        where = f" below {error.filename}" if error.filename else ""
        print(complaint(StoreFull(f"the disk{where} is full", "Free some space, then try again: nothing that was recorded is lost")), file=sys.stderr)
        return StoreFull.exit_code
    except Exception as error:  # noqa: BLE001 - the one catch-all of the command: recorded, then said
        return _crashed(error, given)


def live_status(argv: Sequence[str] | None = None) -> int:
    """`qmoi-live-status`: the same as `qcity status --watch`."""
    return main(["status", "--watch", *(sys.argv[1:] if argv is None else argv)])


def complaint(error: QCityError) -> str:
    """An error as the command prints it: what happened, below it what to do next."""
    from ..decide.wording import visible

    first, *more = [*visible(error.what).splitlines(), *visible(error.todo).splitlines()] or ["it failed without a word"]
    stop = "." if not first.endswith((".", "!", "?")) else ""
    return "\n       ".join([f"qcity: {first}{stop}", *more])


def _dispatch(args: object) -> int:
    import importlib

    module, _, function = str(vars(args)["run"]).partition(":")
    return int(getattr(importlib.import_module(f".{module}", __name__), function)(args))


def _crashed(error: Exception, given: Sequence[str]) -> int:
    import time
    import traceback

    from .. import __version__, home_folder

    text = f"qcity {__version__}, Python {sys.version}\nqcity {' '.join(given)}\n\n{''.join(traceback.format_exception(error))}"
    name = f"crash-{time.strftime('%Y%m%dT%H%M%S')}.txt"
    asked = given[given.index("--home") + 1] if "--home" in given[:-1] else None
    for folder in (home_folder(asked), Path.cwd(), Path(os.environ.get("TMPDIR") or "/tmp")):  # noqa: S108 - the last resort for a crash note
        try:
            (folder / name).write_text(text)
        except OSError:
            continue
        where = f"The details are in {folder / name}: please report them; qcity doctor may say what is missing"
        break
    else:
        where = "The details could not be written anywhere; qcity doctor may say what is missing"
    print(f"qcity: this is a mistake in qcity itself ({type(error).__name__}).\n       {where}.", file=sys.stderr)
    return 1
