"""Train torchvision's Mask R-CNN with the dense contrastive loss, on images with annotations in COCO's format.

    python torchvision_maskrcnn.py IMAGES ANNOTATIONS.json [--steps 1000] [--weight 1.2]

An ordinary training script; what the loss adds to it is marked.
"""

import argparse
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.transforms import v2

from contrastbench.core.hosts.torchvision import exported_state, fit_mask_objective  # dense contrast


def main() -> None:
    """Train, print the losses, save the weights that inference needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--min-size", type=int, default=800, help="pixels of the shorter side")
    parser.add_argument("--weight", type=float, default=1.2, help="of the dense contrastive loss; 0.1 on COCO")
    parser.add_argument("--weights", type=Path, help="a state dict of this network to start from")
    parser.add_argument("--out", type=Path, default=Path("maskrcnn.pth"))
    arguments = parser.parse_args()

    prepare = v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)])
    coco = CocoDetection(arguments.images, arguments.annotations, transforms=prepare)
    annotated = [i for i, image in enumerate(coco.ids) if coco.coco.getAnnIds(image, iscrowd=False)]
    data = Subset(wrap_dataset_for_transforms_v2(coco, target_keys=("boxes", "labels", "masks")), annotated)
    loader = DataLoader(data, arguments.batch, shuffle=True, collate_fn=lambda pairs: tuple(zip(*pairs, strict=True)))

    device = "cuda" if torch.cuda.is_available() else "cpu"
    classes = max(coco.coco.getCatIds()) + 1
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=classes, min_size=arguments.min_size)
    if arguments.weights:
        model.load_state_dict(torch.load(arguments.weights, weights_only=True))
    # dense contrast: before the optimiser takes the parameters, as the projection has some
    fit_mask_objective(model, {"type": "contrastbench.dcl.DenseContrast", "weight": arguments.weight})
    model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0025 * arguments.batch / 2, momentum=0.9, weight_decay=1e-4)

    step = 0
    while step < arguments.steps:
        for images, targets in loader:
            losses = model(
                [image.to(device) for image in images],
                [{name: value.to(device) for name, value in target.items()} for target in targets],
            )
            loss = sum(losses.values())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 35)
            optimizer.step()
            step += 1
            if step % 20 == 0 or step == arguments.steps:
                print(f"step {step}: " + ", ".join(f"{name} {value.item():.3f}" for name, value in losses.items()))
            if step == arguments.steps:
                break
    torch.save(exported_state(model), arguments.out)  # dense contrast: without the projection


if __name__ == "__main__":
    main()
