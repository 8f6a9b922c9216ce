"""What is hot. One folder an op: ``reference.py`` says what it computes, ``api.py`` how it is called."""

from contrastbench.core.ops.class_infonce import negative_logsumexp, positive_terms
from contrastbench.core.ops.sampled_infonce import sampled_infonce

__all__ = ["negative_logsumexp", "positive_terms", "sampled_infonce"]
