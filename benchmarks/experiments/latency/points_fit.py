"""Leave one out on a device's own points: the others also choose the constants of the fit (latency/points.py)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from edgefit_toolkit.devices.profile import DeviceProfile
from edgefit_toolkit.latency.points import point_variant
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.records import Precision
from experiments.latency.evidence import half_width


def leave_one_out(profile: DeviceProfile, precision: Precision) -> list[tuple[str, float, float]]:
    """(network, published ms, ms predicted from the device's other points)."""
    found = []
    for held in profile.points_of(precision):
        rest = dataclasses.replace(profile, points=tuple(point for point in profile.points if point != held))
        found.append((held.network, held.latency_ms, predict(point_variant(held), rest, precision).p50))
    return found


def points_width(profile: DeviceProfile) -> float:
    """Half-width of the 80% interval of a device with published points: from each of this one's, left out."""
    precisions: tuple[Precision, ...] = ("int8", "float32")
    found = [error for precision in precisions for error in leave_one_out(profile, precision)]
    return half_width([(profile.name, math.log(predicted / published)) for _, published, predicted in found])


def leave_one_out_madds(profile: DeviceProfile, precision: Precision) -> list[tuple[str, float, float]]:
    """The same by a straight line through multiply-adds, least relative error."""
    points = profile.points_of(precision)
    madds = np.array([point_variant(point).madds / 1e6 for point in points])
    ms = np.array([point.latency_ms for point in points])
    found = []
    for at, held in enumerate(points):
        keep = np.arange(len(points)) != at
        line = np.stack([madds, np.ones(len(points))], 1)
        fit = np.linalg.lstsq(line[keep] / ms[keep, None], np.ones(keep.sum()), rcond=None)[0]
        found.append((held.network, held.latency_ms, float(line[at] @ fit)))
    return found
