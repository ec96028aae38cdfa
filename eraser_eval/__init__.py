"""Evaluation of rationales against human evidence, in ERASER's formats and terms."""
