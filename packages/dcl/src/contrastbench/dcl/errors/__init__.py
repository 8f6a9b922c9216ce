"""The error analysis of the DCL paper: what each kind of mask error costs in AP (section 3, Figures 1 and 2)."""

from contrastbench.dcl.errors.analysis import analyse
from contrastbench.dcl.errors.evaluator import MaskErrors
from contrastbench.dcl.errors.report import ErrorScores, MaskErrorReport, MatchedPrediction
from contrastbench.dcl.errors.split import KINDS, ErrorPixels, split_errors

__all__ = [
    "KINDS",
    "ErrorPixels",
    "ErrorScores",
    "MaskErrorReport",
    "MaskErrors",
    "MatchedPrediction",
    "analyse",
    "split_errors",
]
