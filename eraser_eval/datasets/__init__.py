"""Data sets with human rationales: the table of them, finding and reading their files, fetching them."""

from eraser_eval.datasets.load import Split, bundled, find, from_rows, limited, load
from eraser_eval.datasets.table import DATASETS, DatasetInfo

__all__ = ["DATASETS", "DatasetInfo", "Split", "bundled", "find", "from_rows", "limited", "load"]
