"""Dense contrastive loss for instance segmentation (Chen et al., BMVC 2022), and its error analysis."""
