"""Stage 6: the same test pictures through float torch, float .tflite and int8 .tflite."""

from __future__ import annotations

import io
import json
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefit_converters.judge.parity import compare_answers
from edgefit_toolkit.data.answers.answering import Answering, answer_doc, floor_keeping, look_alikes
from edgefit_toolkit.data.answers.taxonomy import CLASS, Taxonomy
from edgefit_toolkit.data.dataset import labels as labels_of
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.pipeline.measuring.bench import host_threads
from edgefit_toolkit.pipeline.stages.stage import Stage
from edgefit_toolkit.records import Parity
from edgefit_toolkit.report import derive, rollup
from edgefit_toolkit.report.schema.results import OtherDoc, PlacesDoc, TaxonomyDoc
from edgefit_toolkit.training.evaluation import predict


@dataclass(frozen=True)
class Evaluated:
    """int8 against float on test pictures; their answers lie in answers.npz."""

    agreement: Parity
    threshold: float  # an app should say "not sure" below this confidence
    other: OtherDoc | None = None
    taxonomy: TaxonomyDoc | None = None
    places: PlacesDoc | None = None


class Evaluate(Stage[Evaluated]):
    """Leaves answers.npz: `float_torch`, `float_tflite` and `int8_tflite` float32 [N, classes], as the files give them,
    `truth` int64 [N]; and answer.json.
    """

    number, name, result = 6, "evaluate", Evaluated
    title = "evaluate on test pictures, which nothing has learnt from"

    def depends_on(self) -> dict[str, Any]:
        """How many threads compute; what is chosen on the answers."""
        job = self.job
        seen = [astuple(photo.seen) for photo in self.job.dataset.test] if self.job.places else []
        return {
            **({"seen": seen} if any(any(one) for one in seen) else {}),
            "settings": {"threads": job.settings.threads, "precision": job.settings.precision},
            "answers": answer_doc(Answering(self.tree, {}, places=job.places)),
        }

    @property
    def tree(self) -> Taxonomy:
        """That of the job, or one of the classes alone."""
        return self.job.taxonomy or Taxonomy.of_classes(self.job.dataset.classes)

    def work(self) -> tuple[Evaluated, list[Path]]:
        """The thresholds are chosen on validation pictures."""
        job = self.job
        pixels, truth = job.test_pixels, labels_of(job.dataset.test)
        threads = job.settings.threads or host_threads()
        answers: dict[str, NDArray[np.float32]] = {
            "float_torch": predict(job.network, pixels, temperature=job.temperature)
        }
        int8 = TFLite(job.int8_tflite, threads=threads)
        answers["float_tflite"], float_logits = TFLite(job.float_tflite, threads=threads).answers(pixels)
        answers["int8_tflite"], int8_logits = int8.answers(pixels)
        _save(job.answers_file, answers | {"truth": truth})
        for name, probabilities in answers.items():
            top1 = (probabilities.argmax(1) == truth).mean()
            job.ui.note(f"{name.replace('_', ' ')}: top-1 {top1:.3f} on {len(truth)}")
        parity = compare_answers((answers["float_tflite"], float_logits), (answers["int8_tflite"], int8_logits))
        job.ui.note(f"int8 agrees with float on {parity.top1:.3f}, SQNR {parity.sqnr_db:.1f} dB")
        val = int8.predict(job.val_pixels)
        val_truth, wanted = labels_of(job.dataset.val), job.settings.precision
        how, threshold = self.answering(val, val_truth)
        write_atomic(job.answer_file, json.dumps(answer_doc(how), indent=1, ensure_ascii=False) + "\n")
        other = rollup.other_doc(how, (answers["int8_tflite"], truth), answers["float_tflite"], len(val_truth))
        job.ui.note(rollup.other_sentence(other))
        job.ui.note(
            f"an app should say 'not sure' below a confidence of {threshold:.2f} (chosen on validation pictures)"
        )
        placed = rollup.places_doc(how, (answers["int8_tflite"], truth), [photo.seen for photo in job.dataset.test])
        if placed is not None:
            job.ui.note(rollup.places_sentence(placed))
        evaluated = Evaluated(replace(parity, per_image=()), threshold, other, places=placed)
        if job.taxonomy is not None:
            doc = rollup.taxonomy_doc(how, (val, val_truth), (answers["int8_tflite"], truth), wanted)
            job.ui.note(rollup.sentence(doc))
            evaluated = replace(evaluated, taxonomy=doc)
        return evaluated, [job.answers_file, job.answer_file]

    def answering(self, val: NDArray[np.float32], truth: NDArray[np.int64]) -> tuple[Answering, float]:
        """How an app answers, chosen on the int8 file's answers to validation pictures [N, classes] and their classes
        [N]; and the confidence below which it is not sure of a class, where there is nothing but classes."""
        job, tree = self.job, self.tree
        how = Answering(tree, {}, other=job.dataset.other, places=job.places, power=job.power)
        weighed = how.weighed(val)
        alike = look_alikes(weighed, truth, how.known)
        how = replace(how, floor=floor_keeping(how.certainty(val[truth != how.other])), alike=alike)
        weighed = how.admitted(val)
        correct = weighed.argmax(1) == truth
        threshold = derive.not_sure_below(weighed.max(1).tolist(), correct.tolist(), job.settings.precision)
        if job.taxonomy is None:
            return replace(how, thresholds={CLASS: threshold}), threshold
        return replace(how, thresholds=tree.thresholds(tree.sums(weighed), truth, job.settings.precision)), threshold


def _save(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """An .npz, whole or not at all."""
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    write_atomic(path, stream.getvalue())
