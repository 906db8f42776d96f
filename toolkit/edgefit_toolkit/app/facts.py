"""app.json and preprocessing.json: what an app must know about its model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from edgefit_toolkit.app.source import Source
from edgefit_toolkit.report import words

SCHEMA = "edgefit.preprocessing/1"


def preprocessing_doc(source: Source) -> dict[str, Any]:
    """From a photograph to the model's input, from its output to probabilities, and when to say "not sure"."""
    ends = source.ends
    return {
        "schema": SCHEMA,
        **asdict(source.preprocessing),
        "input": {"dtype": ends.input_dtype, "scale": ends.input_scale, "zero_point": ends.input_zero_point},
        "output": {
            "dtype": ends.output_dtype,
            "scale": ends.output_scale,
            "zero_point": ends.output_zero_point,
            "power": source.answering.power,
        },
        "threshold": source.threshold,
    }


def app_doc(source: Source, model: bytes) -> dict[str, Any]:
    """app.json: preprocessing.json and what the page says about the model."""
    report, score = source.report, source.report["accuracy"]["int8_tflite"]
    photographs = report["data"]["kind"] == "photographs"
    pictures = words.plural(score["n"], "test photograph" if photographs else "drawn test picture")
    network = f"{words.name_of(report['plan']['pick'])}, int8, {words.size(len(model))}"
    answering = source.answering
    ranks = answering.tree.ranks[1:]
    unsure = f"Below {words.percent(source.threshold, 0)} it says that it is not sure."
    if ranks:
        unsure = f"Where it is unsure which, it names the {' or '.join(ranks)}, or says that it is not sure."
    about = (
        f"It names the right one first on {words.percent(score['top1'])} of {pictures}, and it knows only these "
        f"{len(answering.known)}. {unsure} {network}."
    )
    return preprocessing_doc(source) | {
        "title": title(source),
        "data_kind": report["data"]["kind"],
        "about": about,
        "model": {"file": "model.tflite", "sha256": hashlib.sha256(model).hexdigest()},
    }


def title(source: Source) -> str:
    """The app's name."""
    return f"Name it: {source.report['data']['name']}"


def json_file(doc: Any) -> bytes:
    """A JSON file of a bundle; the same document gives the same bytes."""
    return (json.dumps(doc, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()
