"""Contextrast in a plain mmsegmentation config: name the segmentor, the objective and the layers it taps.

The base is mmsegmentation's own HRNetV2-W48 on Cityscapes, in the setting of Sung et al. (CVPR 2024), section 4.1:
ImageNet weights, 512x1024 crops, SGD, 40,000 iterations of 8 images (2 on each of 4 GPUs). The paper gives no learning
rate and no weight decay; the base's are those of the works it compares with. Train it with mmengine's Runner or
mmsegmentation's tools/train.py.
"""

_base_ = "mmseg::hrnet/fcn_hr48_4xb2-40k_cityscapes-512x1024.py"
custom_imports = dict(imports=["contrastbench.core.hosts.mmseg"], allow_failed_imports=False)

model = dict(
    type="ObjectiveSegmentor",  # EncoderDecoder with a seat for an objective
    objective=dict(
        type="contrastbench.contextrast.Contextrast",
        num_images=2975,  # of the training set
    ),
    taps=(0, 1, 2, 3),  # the layers, here HRNet's four branches at strides 4 to 32
)

# The base's pipeline, which passes on sample_idx too: it keys the sampling.
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
