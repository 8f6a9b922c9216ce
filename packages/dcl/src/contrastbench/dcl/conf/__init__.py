"""Hydra configuration of the dense contrastive loss: the objective, its scale for each profile, its two fidelities."""
