"""The colours of the kinds of errors, told apart by colour-blind readers too (Okabe and Ito)."""

COLOURS = {"ffp": "#D55E00", "bfp": "#0072B2", "fn": "#F0E442"}
