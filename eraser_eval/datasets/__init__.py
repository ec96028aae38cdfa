"""Data sets: the table of them, finding and reading their files, fetching them."""

from eraser_eval.datasets.info import DatasetInfo
from eraser_eval.datasets.load import Split, bundled, find, from_rows, limited, load
from eraser_eval.datasets.table import DATASETS

__all__ = ["DATASETS", "DatasetInfo", "Split", "bundled", "find", "from_rows", "limited", "load"]
