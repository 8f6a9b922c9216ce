"""What a scene is made of: classes, fine kinds of things with their frequencies, and named parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "vegetation",
    "sign",
    "fence",
    "car",
    "person",
    "bicycle",
)
SKY, BUILDING, POLE, ROAD, PAVEMENT, VEGETATION, SIGN, FENCE, CAR, PERSON, BICYCLE = range(11)
VOID = 255

PALETTE = (
    (70, 130, 180),
    (70, 70, 70),
    (153, 153, 153),
    (128, 64, 128),
    (244, 35, 232),
    (107, 142, 35),
    (220, 220, 0),
    (190, 153, 153),
    (0, 0, 142),
    (220, 20, 60),
    (119, 11, 32),
)
"""A colour for each class in figures, RGB."""

THINGS = (SIGN, CAR, PERSON, BICYCLE)
"""The classes whose objects are told apart as instances."""

# In each class the kinds stand from the most to the least frequent; the place decides the frequency.
KINDS: dict[int, tuple[str, ...]] = {
    CAR: (
        "hatchback",
        "sedan",
        "suv",
        "panel_van",
        "estate_car",
        "taxi",
        "city_bus",
        "pickup_truck",
        "box_truck",
        "convertible",
        "police_car",
        "ambulance",
        "camper_van",
        "school_bus",
        "fire_engine",
        "ice_cream_van",
        "limousine",
        "tractor",
    ),
    SIGN: (
        "speed_limit_sign",
        "parking_sign",
        "warning_sign",
        "street_name_sign",
        "no_parking_sign",
        "crossing_sign",
        "yield_sign",
        "stop_sign",
        "no_entry_sign",
        "bus_stop_sign",
        "priority_sign",
        "keep_right_sign",
        "one_way_sign",
        "bicycle_route_sign",
        "roadworks_sign",
        "hospital_sign",
    ),
    PERSON: (
        "pedestrian",
        "woman_in_dress",
        "backpacker",
        "commuter",
        "child",
        "shopper",
        "jogger",
        "umbrella_holder",
        "pram_pusher",
        "road_worker",
        "police_officer",
        "postal_carrier",
        "nun",
        "clown",
    ),
    BICYCLE: (
        "city_bicycle",
        "racing_bicycle",
        "basket_bicycle",
        "child_bicycle",
        "cargo_bicycle",
        "tandem_bicycle",
    ),
}

PARTS = (
    "wheel",
    "vehicle_window",
    "headlight",
    "licence_plate",
    "roof_sign",
    "beacon",
    "ladder",
    "head",
    "hat",
    "bag",
    "umbrella",
    "pram",
    "sign_symbol",
    "saddle",
    "handlebar",
    "basket",
)
"""Names of parts. A part belongs to one object and lies inside its visible mask."""

_OFFSET = 3.0
_EXPONENT = 3.6


@dataclass(frozen=True)
class Category:
    """A fine category: a kind of thing, or a named part.

    Attributes:
        name: its name, unique.
        parent: the name of its coarse class, or ``"part"``.
    """

    name: str
    parent: str


def fine_categories() -> tuple[Category, ...]:
    """Return all kinds of things in class order and by falling frequency, then all parts."""
    kinds = [Category(kind, CLASSES[thing]) for thing in THINGS for kind in KINDS[thing]]
    return (*kinds, *(Category(part, "part") for part in PARTS))


def kind_probabilities(thing: int) -> np.ndarray:
    """Return the probabilities of the kinds of a class, float64 ``[len(KINDS[thing])]``.

    They follow Zipf's law with Mandelbrot's offset, ``p_r ~ (r + q)^-s`` for rank ``r`` from 0, which bends as
    the curve of sorted LVIS category counts does: a broad head, and a tail of kinds seen once or twice.
    """
    weights = (np.arange(len(KINDS[thing])) + _OFFSET) ** -_EXPONENT
    return weights / weights.sum()


def draw_kind(thing: int, rng: np.random.Generator) -> str:
    """Draw the kind of a new object of class ``thing``."""
    return KINDS[thing][int(rng.choice(len(KINDS[thing]), p=kind_probabilities(thing)))]
