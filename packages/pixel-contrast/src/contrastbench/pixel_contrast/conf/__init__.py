"""Hydra configuration of pixel contrast: the objective, its scale for each profile, its two fidelities."""
