"""The main job: explain every document with every method, compare with the words people marked, write the run folder.

<output>/manifest.json              what was asked and what it was applied to
<output>/predictions/<method>.jsonl ERASER's prediction format, also of --add
<output>/metrics.json table.md per_document.csv comparison.png comparison.pdf
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from re import fullmatch
from typing import Any

from adapler_explain.batches import batches_of
from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.environment import describe
from adapler_explain.erasure import Operator
from adapler_explain.explainers import EXPLAINERS, named
from adapler_explain.explainers.baseline import inverse_document_frequency
from adapler_explain.faithfulness import FRACTIONS, Erasing
from adapler_explain.loading import check_device
from adapler_explain.parallel import world
from adapler_explain.predict import OWN, Explained
from adapler_explain.results import figures_of, write_results
from adapler_explain.run_folder import check_claim, claim
from adapler_explain.streaming import predict_all
from adapler_explain.teachers import TEACHERS
from adapler_explain.windows import POOLS, SIGNS
from eraser_eval import human, score
from eraser_eval.datasets import Split, bundled, limited, load
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.files import checksum, exclusive, write_text
from eraser_eval.prediction_file import prediction_line, read_predictions
from eraser_eval.records import Prediction


@dataclass(frozen=True)
class EvalConfig:
    """What an evaluation is asked to do.

    Attributes:
        dataset, split, data_root: what to read; see :func:`eraser_eval.datasets.find`.
        model: AdapLeR checkpoint; None: the bundled one.
        reference_model: the classifier that attention and gradients explain; None: ``model`` with removal off.
        methods: names of explainers; ``adapler`` is added where it is missing, as the others take its number of words.
        target: ``predicted`` or ``gold``: the class that is explained.
        layer: the layer, from 0, whose living words are AdapLeR's hard rationale; None: the last.
        operating_point: factor of AdapLeR's thresholds, or the name of a point that the model has stored; empty: 1.
        limit: only so many documents, evenly spaced; 0: all.
        output_dir: the run folder; None: ``runs/<dataset>-<split>`` (``-sample`` for the bundled sample).
        device: torch device.
        seed: of methods that draw and of the bootstrap.
        batch_size: windows in one pass of attention and gradients, or ``auto``: as many as fit; passes without either
            take as many as fit 8192 pieces, on a GPU four times as many.
        pool, sign: how a word's score is made from its pieces', see :func:`windows.word_scores`.
        faithfulness: how words are erased to see whether a rationale is what the model needs, see
            :class:`erasure.Operator`; empty: nothing is erased.
        fractions: the shares of words that are erased, and kept alone.
        resume: go on with what the run folder holds.
        add: further rows of the table, each ``NAME=FILE``: a prediction file in ERASER's format, of people for
            instance, which may cover a part of the documents.
    """

    dataset: str
    split: str = "test"
    data_root: str | None = None
    model: str | None = None
    reference_model: str | None = None
    methods: tuple[str, ...] = ()
    target: str = "predicted"
    layer: int | None = None
    operating_point: float | str = ""
    limit: int = 0
    output_dir: str | None = None
    device: str = "cpu"
    seed: int = 0
    batch_size: int | str = "auto"
    pool: str = "max"
    sign: str = "signed"
    faithfulness: str = ""
    fractions: tuple[float, ...] = FRACTIONS
    resume: bool = False
    add: tuple[str, ...] = ()


def evaluate(config: EvalConfig, data: Split | None = None) -> tuple[Path, dict[str, Any]]:
    """The run folder and the content of its ``metrics.json``.

    Args:
        config: what to do.
        data: evaluate on this instead of what ``config`` names; see :func:`eraser_eval.datasets.from_rows`.

    Raises:
        UserError: an option cannot be used, or data or a model is missing or broken.
    """
    methods = chosen_methods(config)
    check_device(config.device)
    root = Path(config.data_root) if config.data_root else None
    split = limited(data or load(config.dataset, config.split, root), config.limit)
    added = added_predictions(config.add, split)
    folder = Path(config.output_dir or default_folder(split))
    workers = world(config.device)
    explained = load_models(config, split, workers.device)
    for classifier in {explained.adapler, explained.reference or explained.adapler}:
        all_windows(classifier, split)
    manifest = manifest_of(config, split, methods, explained)
    check_claim(folder, manifest, config.resume)
    workers.wait()
    with exclusive(folder) if workers.is_first else nullcontext():
        if workers.is_first:
            claim(folder, manifest, config.resume)
        workers.wait()
        # Where a run goes on, what it has made before counts as well.
        methods = tuple(workers.gather(manifest["methods"])[0])
        predictions = predict_all(split, methods, explained, folder / "predictions", workers)
        figures, table = figures_of(split, predictions, added, manifest)
        if workers.is_first:
            for name, made in added.items():
                write_text(folder / "predictions" / f"{name}.jsonl", "".join(map(prediction_line, made)))
            write_results(folder, split, table, figures)
        workers.wait()
    return folder, figures


def chosen_methods(config: EvalConfig) -> tuple[str, ...]:
    """The methods to run, ``adapler`` first; the default ones where none are named."""
    for method in config.methods:
        named(method)
    batches_of(config.batch_size)
    for option, value, choices in (("pool", config.pool, POOLS), ("sign", config.sign, SIGNS)):
        if value not in choices:
            raise UsageError(f"--{option} {value}: choose from {', '.join(choices)}")
    if config.target not in ("predicted", "gold"):
        raise UsageError(f"--target {config.target}: choose predicted or gold")
    wished = config.methods or tuple(name for name, explainer in EXPLAINERS.items() if explainer.default)
    return tuple(dict.fromkeys((OWN, *wished)))


def load_models(config: EvalConfig, split: Split, device: str) -> Explained:
    """The classifiers to explain, on ``device``, checked against the data set's classes."""
    adapler = Classifier.load(model_path(config, split), device)
    if not hasattr(adapler.model, "adapler"):
        raise UsageError(f"--model {config.model}: not an AdapLeR checkpoint; train one with 'adapler-explain train'")
    layers = adapler.model.config.num_hidden_layers
    if config.layer is not None and not 0 <= config.layer < layers:
        raise UsageError(f"--layer {config.layer}: the model has layers 0 to {layers - 1}")
    reference = Classifier.load(config.reference_model, device) if config.reference_model else None
    for option, classifier in (("--model", adapler), ("--reference-model", reference)):
        if classifier is not None and set(classifier.labels) != set(split.info.labels):
            raise UsageError(
                f"{option}: its classes {', '.join(classifier.labels)} are not those of "
                f"{split.info.name} ({', '.join(split.info.labels)})"
            )
    for method in config.methods:
        named(method, layers)
    operator = Operator.of(config.faithfulness, adapler) if config.faithfulness else None
    if operator is not None and reference is not None:
        Operator.of(config.faithfulness, reference)
    return Explained(
        adapler=adapler,
        reference=reference,
        target=config.target,
        layer=config.layer,
        seed=config.seed,
        batches=batches_of(config.batch_size),
        data=f"{split.info.name}, {split.name}, {split.source}",
        operating_point=adapler.factor(config.operating_point),
        pool=config.pool,
        sign=config.sign,
        idf=inverse_document_frequency(example.words for example in split.examples),
        erasing=None if operator is None else Erasing(operator, tuple(config.fractions)),
    )


def added_predictions(add: Sequence[str], split: Split) -> dict[str, list[Prediction]]:
    """The predictions of ``--add``, by name, without those that are for none of the split's examples.

    Raises:
        UsageError: an entry is not ``NAME=FILE``, or its name is taken.
        DataError: a file is broken, or has no prediction for the split.
    """
    wanted = {example.id for example in split.examples}
    added: dict[str, list[Prediction]] = {}
    for entry in add:
        name, sign, path = entry.partition("=")
        if not (sign and path and fullmatch(r"[\w.()-]+", name)):
            raise UsageError(f"--add {entry}: write NAME=FILE, with a name of letters, digits and . - _ ( )")
        people = name == human.METHOD and any(len(example.annotators) > 1 for example in split.examples)
        if name.partition("@")[0] in EXPLAINERS or name in added or people:
            raise UsageError(f"--add {entry}: the name {name!r} is taken; choose another")
        added[name] = [prediction for prediction in read_predictions(Path(path)) if prediction.id in wanted]
        if not added[name]:
            raise DataError(path, f"has no prediction for {split.info.name}, {split.name}")
        try:
            score.per_document(split.examples, {name: added[name]})
        except ValueError as error:
            raise DataError(path, str(error)) from None
    return added


def manifest_of(config: EvalConfig, split: Split, methods: Sequence[str], explained: Explained) -> dict[str, Any]:
    """Everything that decides the figures, and the versions that made them."""
    asked = {key: value for key, value in asdict(config).items() if key not in ("resume", "methods", "output_dir")}
    return (
        {"command": "eval"}
        | asked
        | {
            "methods": list(methods),
            "fractions": list(config.fractions),
            "add": {entry.partition("=")[0]: checksum([Path(entry.partition("=")[2])]) for entry in config.add},
            "model": config.model or "bundled model",
            "model_checksum": explained.adapler.checksum,
            "reference_model_checksum": explained.reference.checksum if explained.reference else None,
            "operating_factor": explained.operating_point,
            "source": split.source,
            "documents": len(split.examples),
            "data_checksum": split.checksum,
            "environment": describe(config.device),
        }
        | ({"supervised": True} if is_supervised(explained.adapler) else {})
        | ({"teacher_power": power} if (power := teacher_power(explained.adapler)) != 1 else {})
    )


def is_supervised(adapler: Classifier) -> bool:
    """Whether words that people marked taught the predictors."""
    teacher = TEACHERS.get(getattr(adapler.model.config, "teacher", ""))
    return teacher is not None and teacher.supervised


def teacher_power(adapler: Classifier) -> float:
    """The power of the teacher's saliency that the predictors learnt; models of before it could be chosen: 1."""
    return float(getattr(adapler.model.config, "teacher_power", 1.0))


def model_path(config: EvalConfig, split: Split) -> str:
    """Where the AdapLeR checkpoint is."""
    if config.model is None and not split.info.has_sample:
        raise MissingError(
            f"--model: no model for {split.info.name} comes with the package; train one with "
            f"'adapler-explain train --dataset {config.dataset}' and give its folder"
        )
    return config.model or str(bundled(f"models/adapler-{split.info.name}"))


def default_folder(split: Split) -> Path:
    """``runs/<dataset>-<split>``, with ``-sample`` for the bundled sample and the number of documents of a part."""
    sample = "-sample" if split.source == "bundled sample" else ""
    part = f"-{len(split.examples)}" if len(split.examples) < split.total else ""
    return Path("runs") / f"{split.info.name}-{split.name}{sample}{part}"
