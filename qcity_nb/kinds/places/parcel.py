"""Packs what is brought to a place: this very package as a wheel, made of its own files as they are installed, and tokens by name.

No build backend and no index is asked, so it works offline; the same files give the same bytes, so a place can tell whether it has them.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ...errors import BadInput, MissingTool
from ...io import secrets
from ...io.files import write_atomic
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ...model.place import Parcel

NAME = "qcity_nb"
LEFT_OUT = ("__pycache__",)
WHEEL = "Wheel-Version: 1.0\nGenerator: qcity-nb\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
LARGEST = 1 << 20
CREDENTIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def pack(config: PlaceConfig, *, home: Home, store: str = "") -> Parcel:
    """What the place is to get, by its options `config`, `credentials`, `wheelhouse` and `store`; ours is the address `store`, if it can be shared.

    Raises:
        BadInput: a file that an option names cannot be read.
        NotFound: there is no such credential.
        MissingTool: the package was never installed, so its description is missing.
    """
    wheel, version = wheel_of(home.root / "places")
    names = [name.strip() for name in config.options.get("credentials", "").split(",") if name.strip()]
    if odd := [name for name in names if not CREDENTIAL.fullmatch(name)]:
        raise BadInput(f'"{odd[0]}" is no name of a credential (place {config.name})', "They are the names of the files in the home's folder secrets")
    house = config.options.get("wheelhouse", "")
    wheels = tuple(sorted(str(path) for path in Path(house).expanduser().glob("*.whl"))) if house else ()
    if house and not wheels:
        todo = f"pip download -d {house} {wheel} fills it, on a machine of the same kind"
        raise BadInput(f"there is no wheel in {house} (place {config.name})", todo)
    return Parcel(
        wheel=str(wheel),
        version=version,
        tag=f"{re.sub(r'[^A-Za-z0-9.]', '_', version)}-{hashlib.sha256(wheel.read_bytes()).hexdigest()[:10]}",
        wheels=wheels,
        config=_read(Path(config.options["config"]).expanduser(), config.name) if config.options.get("config") else "",
        store=_store(config, store),
        credentials={name: secrets.load(home, name) for name in names},
    )


def _store(config: PlaceConfig, ours: str) -> str:
    given = config.options.get("store", "own")
    if given not in ("own", "shared"):
        raise BadInput(f'"{given}" is no store of a place (place {config.name})', 'Write store = "shared", or leave it out: then it gets its own')
    if given == "shared" and not ours:
        raise BadInput(f"{config.name} is to share the store, and this place's is a file", "Set QCITY_STORE to a PostgreSQL that both reach")
    return ours if given == "shared" else ""


def wheel_of(folder: Path) -> tuple[Path, str]:
    """A wheel of this package in that folder, made now, and its version.

    Raises:
        MissingTool: it was never installed.
    """
    try:
        found = importlib.metadata.distribution("qcity-nb")
    except importlib.metadata.PackageNotFoundError:
        raise MissingTool("this package cannot be packed: it runs from files that were never installed", "pip install . in its folder") from None
    info = f"{NAME}-{found.version}.dist-info"
    files = dict(_files())
    files[f"{info}/METADATA"] = (found.read_text("METADATA") or "").encode()
    files[f"{info}/WHEEL"] = WHEEL.encode()
    files[f"{info}/entry_points.txt"] = (found.read_text("entry_points.txt") or "").encode()
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in sorted(files.items())]
    files[f"{info}/RECORD"] = ("\n".join([*lines, f"{info}/RECORD,,"]) + "\n").encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)  # its date is 1980, always: the same files give the same bytes
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{NAME}-{found.version}-py3-none-any.whl"
    write_atomic(path, packed.getvalue())
    return path, found.version


def _files() -> Iterator[tuple[str, bytes]]:
    root = Path(__file__).parents[2]
    for path in sorted(root.rglob("*")):
        if path.is_file() and not set(path.relative_to(root).parts) & set(LEFT_OUT):
            yield f"{NAME}/{path.relative_to(root).as_posix()}", path.read_bytes()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _read(path: Path, place: str) -> str:
    try:
        raw = path.read_bytes()[: LARGEST + 1]
        if len(raw) > LARGEST:
            raise BadInput(f"{path} is larger than a qcity.toml may be (place {place})", "Name the file that holds only the settings")
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        what = f"{path}, which the place {place} is to get as its qcity.toml, cannot be read ({error})"
        raise BadInput(what, "Name a readable text file") from None
