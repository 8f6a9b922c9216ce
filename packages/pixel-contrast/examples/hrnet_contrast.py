"""Pixel contrast in a plain mmsegmentation config: name the segmentor and the objective, pass the image's index.

The base is mmsegmentation's own HRNetV2-W48 on Cityscapes, in the setting of Wang et al. (ICCV 2021), sections 4.1
and 4.2: ImageNet weights, 512x1024 crops, SGD, 40,000 iterations of 8 images (2 on each of 4 GPUs). Train it with
mmengine's Runner or mmsegmentation's tools/train.py.
"""

_base_ = "mmseg::hrnet/fcn_hr48_4xb2-40k_cityscapes-512x1024.py"
custom_imports = dict(imports=["contrastbench.core.hosts.mmseg"], allow_failed_imports=False)

model = dict(
    type="ObjectiveSegmentor",  # EncoderDecoder with a seat for an objective
    objective=dict(
        type="contrastbench.pixel_contrast.PixelContrast",
        num_images=2975,  # of the training set: the region table has a row for each
    ),
)

# The base's pipeline, which passes on sample_idx too: each image's place in the region table.
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(
        type="PackSegInputs",
        meta_keys=("img_path", "ori_shape", "img_shape", "pad_shape", "scale_factor", "flip", "sample_idx"),
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# The paper's rate falls to 0, the base's to 1e-4.
param_scheduler = [dict(type="PolyLR", eta_min=0, power=0.9, begin=0, end=40_000, by_epoch=False)]
