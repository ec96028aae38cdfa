"""An AdapLeR checkpoint in transformers' own text-classification pipeline.

    python examples/pipeline.py data/models/adapler-movies "a film to treasure" "dull and far too long"

The checkpoint is one that adapler-explain trained, of any architecture. Texts longer than the encoder are cut off here;
``adapler-explain predict`` reads them whole.
"""

from __future__ import annotations

import sys

from transformers import AutoTokenizer, TextClassificationPipeline, pipeline

from adapler_explain import AdaplerForSequenceClassification


def classifier(path: str) -> TextClassificationPipeline:
    """The pipeline of the checkpoint at ``path``, a folder or a hub id; it drops pieces as it goes."""
    model = AdaplerForSequenceClassification.from_pretrained(path, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(path)
    # Not every tokenizer knows how much its encoder takes.
    tokenizer.model_max_length = min(tokenizer.model_max_length, model.config.window_pieces)
    return pipeline("text-classification", model=model, tokenizer=tokenizer)


def main(path: str, *texts: str) -> None:
    """Print the class of each text with its probability."""
    found = classifier(path)(list(texts), batch_size=32, truncation=True)
    for text, answer in zip(texts, found, strict=True):
        print(f"{answer['label']} {answer['score']:.3f}  {text}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
