import pytest
from written_instances import annotation, ground_truth, result, square

from contrastbench.core.errors import InputError
from contrastbench.core.metrics.mask_ap import CocoAP, OccludedAP


def test_only_images_with_overlapping_boxes_count() -> None:
    truth = ground_truth()
    # in the second image alone, a square of 8 pixels beside one shifted by 4: IoU of the boxes 1/3
    truth["annotations"].append(annotation(9, 2, 2, square(4, 7, 8)))
    # right in the second image, nothing found in the others
    results = [result(2, 2, square(4, 3, 8)), result(2, 2, square(4, 7, 8))]

    scores = OccludedAP()(truth, results)

    assert scores["occluded_images"] == 1
    assert scores["occluded_AP_seg"] == pytest.approx(100)
    assert CocoAP()(truth, results)["AP_seg"] < 51
    assert "1 of 3 images" in scores["evaluation"]


def test_without_such_an_image_there_is_no_number() -> None:
    scores = OccludedAP()(ground_truth(), [])

    assert scores["occluded_images"] == 0
    assert "occluded_AP_seg" not in scores


@pytest.mark.parametrize(("options", "message"), [({"measure": "giou"}, "measure"), ({"overlap": 0.0}, "above 0")])
def test_an_impossible_rule_is_explained(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        OccludedAP(**options)(ground_truth(), [])
