"""AdapLeR: BERT-like encoders that drop pieces layer by layer, and what the pieces they keep explain."""

__version__ = "0.4.0"
