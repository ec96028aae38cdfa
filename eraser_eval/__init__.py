"""Evaluation of rationales against human evidence, in ERASER's formats and terms."""

__version__ = "0.14.0"
