# Faster R-CNN with FPN on MixNet-S: the embedded sample. Its RoIAlign is torchvision's (which must
# fit torch); with a compiled mmcv also mmcv's: use_torchvision=False.
#   mixnet-dense train reuse/faster_rcnn_mixnet
_base_ = "../ssdlite_mixnet_sample.py"
assign = dict(type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
second = dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, match_low_quality=False)
proposals = dict(nms_pre=1000, max_per_img=500, nms=dict(type="nms", iou_threshold=0.7))
model = dict(
    _delete_=True, type="FasterRCNN", data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(type="mixnet_dense.MixNet", arch="s", out_taps=("c2", "c3", "c4", "c5")),
    neck=dict(type="FPN", in_channels=[24, 40, 120, 200], out_channels=96, num_outs=5),
    rpn_head=dict(type="RPNHead", in_channels=96, feat_channels=96, anchor_generator=dict(
        type="AnchorGenerator", scales=[8], ratios=[0.5, 1, 2], strides=[4, 8, 16, 32, 64])),
    roi_head=dict(
        type="StandardRoIHead",
        bbox_roi_extractor=dict(type="SingleRoIExtractor", out_channels=96,
            roi_layer=dict(type="RoIAlign", output_size=7, use_torchvision=True),
            featmap_strides=[4, 8, 16, 32]),
        bbox_head=dict(type="Shared2FCBBoxHead", num_classes=4, in_channels=96,
            fc_out_channels=256)),
    train_cfg=dict(
        rpn=dict(assigner=assign, allowed_border=-1, pos_weight=-1,
            sampler=dict(type="RandomSampler", num=256, pos_fraction=0.5)),
        rpn_proposal=proposals,
        rcnn=dict(assigner=second, pos_weight=-1, sampler=dict(type="RandomSampler", num=256,
            pos_fraction=0.25, add_gt_as_proposals=True))),
    test_cfg=dict(rpn=proposals, rcnn=dict(score_thr=0.05, max_per_img=100,
        nms=dict(type="nms", iou_threshold=0.5))),
)  # fmt: skip
