"""mmdet's SSDHead on the anchors, classes and rules of ours, and how long both losses take.

From this folder, as docs/performance.md has it: ``python -m mmdet_loss CONFIG``
"""

import argparse
from pathlib import Path

import mmdet
import torch
from mmengine.config import Config

from mixnet_dense.benchmark.subjects import annotations, build
from mixnet_dense.det import SSDLiteHead
from mixnet_dense.registry import MODELS
from mixnet_dense.timing import interleave, peak_memory

THEIRS = ".mim/configs/ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py"


class OurAnchors:
    """The anchors of our head, with the interface that mmdet's head needs."""

    def __init__(self, generator, image):
        self.generator, self.image = generator, image
        self.num_base_priors, self.num_levels = generator.num_base_priors, generator.num_levels

    def grid_priors(self, sizes, device="cpu"):
        anchors = self.generator.anchors(sizes, self.image, device)
        counts = [h * w * n for (h, w), n in zip(sizes, self.num_base_priors, strict=True)]
        return list(anchors.split(counts))

    def valid_flags(self, sizes, pad_shape, device="cpu"):
        return [torch.ones(len(level), dtype=bool) for level in self.grid_priors(sizes)]


def mmdet_head(head: SSDLiteHead, image: tuple[int, int]):
    """The head of mmdet's SSDLite config, for images (H, W), with everything else as in ours."""
    theirs = Config.fromfile(Path(mmdet.__file__).parent / THEIRS).model
    rules = theirs.train_cfg
    rules.assigner.pos_iou_thr = rules.assigner.neg_iou_thr = head.train_cfg["iou_threshold"]
    rules.neg_pos_ratio = head.train_cfg["neg_pos_ratio"]
    changes = dict(
        type="mmdet.SSDHead",
        num_classes=head.num_classes,
        in_channels=head.in_channels,
        anchor_generator=dict(type=OurAnchors, generator=head.prior_generator, image=image),
        train_cfg=rules,
    )
    return MODELS.build(dict(theirs.bbox_head) | changes)


def losses(config, images):
    """Both heads' losses of random outputs and eight boxes an image, as functions by name."""
    model = build(config).eval()
    with torch.no_grad():
        maps = model(images, mode="tensor")
    outputs = [[torch.randn_like(level).requires_grad_() for level in kind] for kind in maps]
    samples = annotations(model, images)
    truth = [sample.gt_instances for sample in samples]
    metas = [sample.metainfo for sample in samples]
    heads = dict(ours=model.bbox_head, mmdet=mmdet_head(model.bbox_head, images.shape[-2:]))
    return {
        name: lambda head=head: head.loss_by_feat(*outputs, truth, metas)
        for name, head in heads.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="of an SSDLite detector")
    for name, usual in dict(batch=32, threads=2, repeats=40, size=320).items():
        parser.add_argument(f"--{name}", type=int, default=usual, help=f"({usual})")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    functions = losses(args.config, torch.zeros(args.batch, 3, args.size, args.size))
    for name, times in interleave(functions, args.repeats).items():
        memory = peak_memory(functions[name]) / 2**20
        print(f"{name}: median {times.median:.1f} ms, p90 {times.p90:.1f} ms, {memory:.0f} MiB")
