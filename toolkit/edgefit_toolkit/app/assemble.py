"""The bundle: every file is made in memory, then the folder appears as a whole.

1. read the run and refuse what may not be shipped   source.py
2. the model with its metadata                       shipped_model.py
3. labels, preprocessing, model card, read-me        facts.py, card.py
4. the apps                                          webapp.py with vendor.py, androidapp.py
5. write
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgefit_toolkit.app import card
from edgefit_toolkit.app.androidapp import android_files
from edgefit_toolkit.app.facts import app_doc, json_file, preprocessing_doc
from edgefit_toolkit.app.shipped_model import with_metadata
from edgefit_toolkit.app.source import Source, read_source
from edgefit_toolkit.app.webapp import web_files
from edgefit_toolkit.data.answers.answering import answer_doc
from edgefit_toolkit.errors import InputError, OutputError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.report import view

App = Literal["web", "android", "all"]
MARK = "bundle.json"  # a folder with this file is ours and may be replaced


@dataclass(frozen=True)
class AppBundle:
    """What was written."""

    path: Path
    files: dict[str, int]  # path inside the bundle -> bytes

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return sum(self.files.values())


def bundle(
    run_dir: Path, out: Path, app: App = "web", *, cache_dir: Path | None = None, force: bool = False
) -> AppBundle:
    """Writes the app bundle of a finished run to `out`; the same run gives the same bytes.

    An earlier bundle is replaced; one that somebody worked in only by `force`. Raises InputError for a run that is not
    finished or is damaged, GuardFailed for one whose int8 model failed, OutputError when `out` holds something else or
    cannot be written, DownloadError when the web runtime is missing.
    """
    if app not in ("web", "android", "all"):
        raise InputError(f"no app is called {app!r}; there are web, android and all")
    place = _place(out)
    if not force:
        _refuse_own_work(place)
    source = read_source(run_dir)
    files = contents(source, app, cache_dir=cache_dir)
    _write(files, place)
    return AppBundle(out, {name: len(data) for name, data in files.items()})


def _place(out: Path) -> Path:
    """Where the bundle goes: through a link to what it points at. OutputError where something else is there."""
    try:
        place = out.resolve()
        free = not place.exists() or (place.is_dir() and not any(place.iterdir()))
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{out} cannot be used: {error}", "name another folder with --out") from error
    if not free and not (place / MARK).is_file():
        raise OutputError(f"{out} exists and is no bundle", "name another folder with --out, or remove this one")
    return place


def _refuse_own_work(place: Path) -> None:
    """OutputError where files of the earlier bundle are no longer as they were written, or others lie beside them."""
    if not (place / MARK).is_file():
        return
    try:
        written = dict(json.loads((place / MARK).read_bytes())["sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        written = {}  # then nothing in it is known to be ours
    here = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if not path.is_dir()}
    here.pop(MARK)
    own = sorted(
        name for name, path in here.items()
        if name not in written or not path.is_file() or path.is_symlink() or sha256_of(path) != written[name]
    )  # fmt: skip
    if own:
        more = f" and {len(own) - 5} more" if len(own) > 5 else ""
        raise OutputError(
            f"{place} holds files that were changed or added since it was bundled: {', '.join(own[:5])}{more}",
            "keep them elsewhere, name another folder with --out, or replace them with --force",
        )


def contents(source: Source, app: App, *, cache_dir: Path | None = None) -> dict[str, bytes]:
    """Every file of the bundle, by its path."""
    apps = ("web", "android") if app == "all" else (app,)
    report = source.report
    model = with_metadata(
        source.model,
        name=view.title(report),
        description=f"{len(source.labels)} classes, {report['data']['kind']}; int8 by edgefit {report['edgefit']}",
        license=report["data"].get("license", ""),
        labels=[label.label for label in source.labels],
    )
    digest = hashlib.sha256(model).hexdigest()
    labels = "".join(f"{label.line}\n" for label in source.labels).encode()
    files = {"model.tflite": model, "labels.txt": labels, "preprocessing.json": json_file(preprocessing_doc(source))}
    files["MODEL_CARD.md"] = card.model_card(source, digest, len(model)).encode()
    files["README.md"] = card.read_me(source, apps).encode()
    files["answer.json"] = json_file(answer_doc(source.answering))
    assets = {name: files[name] for name in ("model.tflite", "labels.txt", "answer.json")}
    assets["app.json"] = json_file(app_doc(source, model))
    if "web" in apps:
        files |= web_files(source, assets, cache_dir)
    if "android" in apps:
        files |= android_files(assets)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    mark = {"schema": "edgefit.bundle/1", "edgefit": report["edgefit"], "apps": list(apps), "sha256": hashes}
    files[MARK] = json_file(mark)
    return dict(sorted(files.items()))


def _write(files: dict[str, bytes], out: Path) -> None:
    """Beside the target first, then renamed: a broken write leaves the old bundle."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        umask = os.umask(0)
        os.umask(umask)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            fresh = Path(folder) / "bundle"
            fresh.mkdir(0o777 & ~umask)
            for name, data in files.items():
                target = fresh / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            if out.exists():
                out.replace(Path(folder) / "old")
            fresh.replace(out)
            shutil.rmtree(Path(folder) / "old", ignore_errors=True)
    except OSError as error:
        raise OutputError(f"the bundle cannot be written to {out}: {error.strerror}", "choose another --out") from error
