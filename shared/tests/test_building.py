import pytest

from contrastbench.core.building import build_metric
from contrastbench.core.errors import InputError


class Handed:
    """A metric that hands everything on to another."""

    def __init__(self, *arguments, **options):
        self.options = options

    def compute(self):
        return {}


def test_a_class_may_take_any_arguments():
    assert build_metric({"type": Handed, "radius": 3}, {"num_classes": 2}).options == {"radius": 3}


def test_what_measures_nothing_is_named():
    with pytest.raises(InputError, match="measures nothing"):
        build_metric({"type": "contrastbench.core.metrics.Scores"}, {})
