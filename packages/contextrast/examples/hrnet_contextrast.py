"""Contextrast in a plain mmsegmentation config: name the segmentor, the objective and the layers it taps.

HRNetV2-W48 on Cityscapes as in Sung et al. (CVPR 2024), section 4.1: 512x1024 crops, SGD, 40,000 iterations. The paper
gives no learning rate and no weight decay; these are those of the works it compares with. What Contextrast adds to an
ordinary config is marked. Train it with mmengine's Runner or mmsegmentation's tools/train.py.
"""

custom_imports = dict(imports=["contrastbench.core.hosts.mmseg"], allow_failed_imports=False)  # contextrast
default_scope = "mmseg"
data_root = "data/cityscapes"
crop_size = (512, 1024)
norm = dict(type="SyncBN", requires_grad=True)


def stage(modules: int, branches: int, block: str = "BASIC") -> dict:
    """Return one stage of HRNetV2-W48."""
    return dict(
        num_modules=modules,
        num_branches=branches,
        block=block,
        num_blocks=(4,) * branches,
        num_channels=(64,) if block == "BOTTLENECK" else tuple(48 * 2**i for i in range(branches)),
    )


model = dict(
    type="ObjectiveSegmentor",  # contextrast: EncoderDecoder with a seat for an objective
    objective=dict(  # contextrast
        type="contrastbench.contextrast.Contextrast",
        num_images=2975,  # of the training set
    ),
    taps=(0, 1, 2, 3),  # contextrast: the layers, here HRNet's four branches at strides 4 to 32
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=crop_size,
    ),
    backbone=dict(
        type="HRNet",
        norm_cfg=norm,
        norm_eval=False,
        extra=dict(stage1=stage(1, 1, "BOTTLENECK"), stage2=stage(1, 2), stage3=stage(4, 3), stage4=stage(3, 4)),
    ),
    decode_head=dict(
        type="FCNHead",
        in_channels=[48, 96, 192, 384],
        in_index=(0, 1, 2, 3),
        channels=720,
        input_transform="resize_concat",
        kernel_size=1,
        num_convs=1,
        concat_input=False,
        dropout_ratio=-1,
        num_classes=19,
        norm_cfg=norm,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
del stage

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(
        type="PackSegInputs",
        meta_keys=("img_path", "ori_shape", "img_shape", "pad_shape", "scale_factor", "flip", "sample_idx"),
    ),  # contextrast: sample_idx, which keys the sampling
]
test_pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
dataset = dict(type="CityscapesDataset", data_root=data_root)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        **dataset,
        data_prefix=dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        **dataset,
        data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"),
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
train_cfg = dict(type="IterBasedTrainLoop", max_iters=40_000, val_interval=4_000)
val_cfg = dict(type="ValLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0005))
param_scheduler = [dict(type="PolyLR", eta_min=0, power=0.9, begin=0, end=40_000, by_epoch=False)]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=4_000),
)
