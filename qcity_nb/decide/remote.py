"""What is asked of a host, as text for its shell, and how its answers are read. Pure: `kinds.places` sends the one and hands over the other.

Each script may be cut off anywhere and run again: files come into being whole, an installation counts when its last step is done, a lock keeps
two apart. No script holds a secret; those travel on standard input into files of mode 0600.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, replace

from ..model.fleet import PlaceConfig
from ..model.place import Parcel, PlaceReport, PlaceState, Running
from .wording import line, sentence

NEEDED = 1 << 30
"""Bytes that a fresh installation and its first jobs need."""
LOCK_SECONDS = 900
PYTHONS = "python3 python3.14 python3.13 python3.12 python3.11 python3.10"
_PRUNE = 'ls -dt venv-* | grep -vx "$(readlink current)" | tail -n +2 | while read -r old; do rm -rf "$old"; done'
SAYS = "qcity-says:"
"""Begins each line that is meant for us: a host's shell may greet with lines of its own."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where things lie on a host, as words of a shell. `installs`: the package is brought there, into an environment of its own."""

    base: str
    home: str
    qcity: str
    python: str = ""
    installs: bool = True


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a script ended, and what it printed."""

    code: int
    out: str
    err: str = ""

    @property
    def last(self) -> str:
        """Its last words, for a sentence."""
        words = [text for text in (self.err.strip() or self.out.strip()).splitlines() if text.strip()]
        return line(" ".join(words[-2:]), limit=300).rstrip(".") if words else f"exit code {self.code}, without a word"


def site(folder: str, *, python: str = "") -> Site:
    """A folder of our own on a host: below the home folder of whoever we are there, or absolute."""
    base = shlex.quote(folder) if folder.startswith("/") else f'"$HOME"/{shlex.quote(folder)}'
    return Site(base=base, home=f"{base}/home", qcity=f"{base}/current/bin/qcity", python=python)


def probe(where: Site) -> str:
    """Looks at a host; changes nothing."""
    candidates = shlex.quote(where.python) if where.python else PYTHONS
    return f"""
say() {{ echo "{SAYS} $*"; }}
say system "$(uname -s) $(uname -m)"
for p in {candidates}; do
  path=$(command -v "$p" 2>/dev/null) || continue
  version=$("$p" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
  if "$p" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 10))'; then
    say python "$version $path"
    "$p" -c 'import venv, ensurepip' 2>/dev/null && say venv yes
    break
  fi
  say old "$version"
done
command -v git >/dev/null 2>&1 && say git "$(git --version)"
d={where.base}; while [ ! -d "$d" ] && [ "$d" != / ]; do d=$(dirname "$d"); done
[ -w "$d" ] && say writable "$d"
say disk "$(df -Pk "$d" 2>/dev/null | awk 'NR==2 {{print $4}}')"
say tag "$(cat {where.base}/current/installed 2>/dev/null)"
exit 0
"""


def put(where: Site, name: str) -> str:
    """Keeps standard input as a file below the site, mode 0600, in one step."""
    path = f"{where.base}/{shlex.quote(name)}"
    return f'set -e; umask 077; mkdir -p "$(dirname {path})"; cat > {path}.part.$$; mv {path}.part.$$ {path}'


def unpack(where: Site) -> str:
    """Unpacks the tar on standard input into the site's folder of wheels."""
    return f"set -e; umask 077; mkdir -p {where.base}/wheels; tar -xf - -C {where.base}/wheels"


def aside(where: Site) -> Site:
    """A site beside this one, for notebooks: what is installed there has other needs, and an engine's environment is left as it is."""
    base = f"{where.base}-notebooks"
    return replace(where, base=base, home=f"{base}/home", qcity=f"{base}/current/bin/qcity") if where.installs else where


def far(where: Site, tag: str) -> str:
    """Executes the notebook on standard input."""
    python = f"{where.base}/venv-{tag}/bin/python" if where.installs else shlex.quote(where.python)
    return f"umask 077\nexec {python} -m qcity_nb.kinds.notebooks.far"


def prune(where: Site) -> str:
    """Removes the environments of other versions, but for the newest: what it started may still run."""
    return f"cd {where.base}\n{_PRUNE}" if where.installs else ":"


def install(where: Site, parcel: Parcel, python: str, *, index: str = "", extra: str = "") -> str:
    """Makes an environment for this version beside those of others, and switches to it when it is whole. Done already, it does nothing.

    Args:
        extra: the part of the package that is needed there.
    """
    room, wheel = f"{where.base}/venv-{parcel.tag}", f"{where.base}/wheels/{shlex.quote(parcel.wheel.rpartition('/')[2])}"
    source = f"--no-index --find-links {where.base}/wheels" if parcel.wheels else (f"--index-url {shlex.quote(index)}" if index else "")
    extras = ",".join(filter(None, ("postgres" if parcel.store else "", extra)))
    return f"""
set -e; umask 077
mkdir -p {where.base}/home
exec 9>{where.base}/install.lock
if command -v flock >/dev/null; then flock -w {LOCK_SECONDS} 9 || {{ echo "another installation goes on there" >&2; exit 1; }}; fi
if [ "$(cat {room}/installed 2>/dev/null)" != {parcel.tag} ]; then
  rm -rf {room}
  {shlex.quote(python)} -m venv {room}
  {room}/bin/python -m pip --disable-pip-version-check install -q --no-input {source} {wheel}{f'[{extras}]' if extras else ''} </dev/null
  {room}/bin/qcity --version
  echo {parcel.tag} > {room}/installed.part && mv {room}/installed.part {room}/installed
fi
ln -sfn venv-{parcel.tag} {where.base}/current
"""


def start(where: Site, tag: str, repo: str) -> str:
    """Starts the engine, detached, and what is to run there; once more changes nothing. One of another version ends first, its runners go on.

    Of other versions only the newest is kept: what it started may still run.
    """
    up = f"{where.qcity} up" + (f" --repo {repo}" if repo else "")
    older = f'[ "$(cat {where.home}/tag 2>/dev/null)" != {tag} ] && {where.qcity} engine status >/dev/null 2>&1'
    change = f"if {older}; then {where.qcity} engine stop >/dev/null; fi\n" if where.installs else ""
    return f"""{_env(where)}
cd {where.base}
{change}{up} </dev/null >{where.home}/up.log 2>&1 || {{ tail -n 5 {where.home}/up.log >&2; exit 1; }}
echo {tag} > {where.home}/tag
{_PRUNE if where.installs else ":"}
{where.qcity} status --json || true
"""


def status(where: Site) -> str:
    """Asks for the documented shape of `qcity status`; exit code 3 says that nothing of ours is there."""
    there = f"[ -x {where.qcity} ] || exit 3\n" if where.installs else ""
    return f"{_env(where)}\n{there}[ -e {where.home}/place ] || exit 3\n{where.qcity} status --json || true"


def stop(where: Site) -> str:
    """Ends the engine and all that it keeps running; once more changes nothing."""
    there = f"[ -x {where.qcity} ] || exit 0\n" if where.installs else ""
    ends = f"if {where.qcity} engine status >/dev/null 2>&1; then {where.qcity} engine stop --runners >&2; fi"
    return f"{_env(where)}\n{there}[ -e {where.home}/place ] || exit 0\n{ends}"


def report(config: PlaceConfig, said: Said, *, installs: bool = True, asked: str = "") -> PlaceReport:
    """What a probe found, in words. `asked`: the Python that the configuration names."""
    facts: dict[str, str] = {}
    for text in said.out.splitlines():
        if text.startswith(SAYS):
            key, _, value = text[len(SAYS) :].strip().partition(" ")
            facts[key] = value.strip()
    missing = []
    if not facts.get("python"):
        old = f", only {facts['old']}" if facts.get("old") else ""
        missing.append(f"there is no {asked}" if asked and not old else f"there is no Python 3.10 or newer{old}")
    elif installs and facts.get("venv") != "yes":
        missing.append("its Python cannot make virtual environments (on Debian: apt-get install python3-venv)")
    if not facts.get("git"):
        missing.append("git is not installed")
    if not facts.get("writable"):
        missing.append("its folder cannot be written")
    free = int(facts["disk"]) * 1024 if facts.get("disk", "").isdecimal() else None
    if free is not None and free < NEEDED and not facts.get("tag"):
        missing.append(f"only {free // (1 << 20)} MB are free, {NEEDED // (1 << 20)} MB are needed")
    return PlaceReport(
        place=config.name,
        kind=config.kind,
        why=sentence(f"on {config.name}, {' and '.join(missing)}" if missing else f"{config.name} can run an engine"),
        todo="Install what is missing there, then check again" if missing else "",
        system=facts.get("system", ""),
        python=facts.get("python", ""),
        git=facts.get("git", "").removeprefix("git version "),
        disk=free,
        version=facts.get("tag", ""),
        missing=tuple(missing),
    )


def state(config: PlaceConfig, said: Said, *, version: str = "", link: str = "") -> PlaceState:
    """What `qcity status --json` said there."""
    if said.code == 3:
        text = f"Nothing of ours is on {config.name}."
        return PlaceState(place=config.name, kind=config.kind, running=Running.ABSENT, sentence=text, link=link)
    try:
        shape = json.loads(said.out[said.out.index("{") :])
        engine, headline = shape["engine"], str(shape["headline"])
        up, words, generation = bool(engine["alive"]), str(engine["sentence"]), int(engine["generation"])
    except (ValueError, KeyError, TypeError):
        text = f"{config.name} gave no status that can be read: {said.last}"
        return PlaceState(place=config.name, kind=config.kind, running=Running.UNKNOWN, sentence=sentence(text), link=link)
    return PlaceState(
        place=config.name,
        kind=config.kind,
        running=Running.UP if up else Running.DOWN,
        sentence=line(words),
        headline=line(headline),
        generation=generation,
        version=version,
        link=link,
    )


def _env(where: Site) -> str:
    store = f'if [ -s {where.base}/store ]; then QCITY_STORE="$(cat {where.base}/store)"; export QCITY_STORE; fi' if where.installs else ":"
    path = f"PATH={where.base}/current/bin:$PATH; export PATH" if where.installs else ":"
    return f"set -e; umask 077\nQCITY_HOME={where.home}; export QCITY_HOME\n{store}\n{path}"
