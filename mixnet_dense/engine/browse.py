"""Sheets of training images as the network sees them: augmented, with what is annotated.

For our SSDLite the anchors that are matched to each box are drawn too.
"""

import warnings
from html import escape
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor, nn

from mixnet_dense.engine.config import check_files, slips_named, ssdlite_head
from mixnet_dense.engine.results import with_palette
from mixnet_dense.engine.runner import workers_errors_named
from mixnet_dense.errors import InputError
from mixnet_dense.files import check_writable, written_whole
from mixnet_dense.images import data_uri
from mixnet_dense.registry import DATASETS, MODELS

_WIDTH = 480  # of a picture at least, so that thin lines can be told apart
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px sans-serif; margin: 1em }}
main {{ display: grid; gap: 1em; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)) }}
figure {{ margin: 0 }} img {{ width: 100% }} figcaption {{ overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<p>{about}</p>
<main>
{figures}
</main></html>
"""
_ABOUT = "Training images after augmentation, as the network gets them."
_ANCHORS = (
    " Solid: annotated boxes. Dashed: the anchors that learn them, cyan; red where no anchor has "
    "an IoU of {threshold} with the box and it takes the nearest. Such boxes are hard to find."
)


def browse(config: Config, out: str, count: int = 24, seed: int = 0) -> None:
    """Write an HTML file of one piece with training images of a config.

    Args:
        config: see `config.load_config`.
        out: the file.
        count: of images, spread evenly over the data set; more than it has show some again, with
            other augmentation.
        seed: of the augmentation.

    Raises:
        InputError: files that the config names are missing or bad; or ``out`` cannot be written.
    """
    check_files(config, ("train",))
    check_writable(out)
    init_default_scope(config.get("default_scope", "mmdet"))
    with slips_named("config"):
        if not config.get("train_dataloader"):
            raise InputError("config: has no train_dataloader to take images from")
        dataset = DATASETS.build(config.train_dataloader.dataset)
        model = _detector(config)
    set_random_seed(seed)
    visualizer, figures = _visualizer(config), []
    visualizer.dataset_meta = with_palette(dataset.metainfo)
    for index in range(count):
        with workers_errors_named():
            packed = dataset[index * len(dataset) // count]
        figures.append(_figure(*_picture(packed, visualizer, model)))
    title = f"{Path(config.filename or 'config').stem}: {count} of {len(dataset)} training images"
    about = _ABOUT
    if model:
        about += _ANCHORS.format(threshold=model.bbox_head.train_cfg["iou_threshold"])
    page = _PAGE.format(title=escape(title), about=about, figures="\n".join(figures))
    with written_whole(out) as partial:
        partial.write_text(page, "utf-8")


def _detector(config: Config) -> nn.Module | None:
    """The model, for its anchors; None if it is not our SSDLite."""
    return MODELS.build(config.model).eval() if ssdlite_head(config) else None


def _visualizer(config: Config):
    if config.get("default_scope") == "mmseg":
        from mmseg.visualization import SegLocalVisualizer

        return SegLocalVisualizer(name="browse", alpha=0.55)
    from mmdet.visualization import DetLocalVisualizer

    return DetLocalVisualizer(name="browse", line_width=4)


def _picture(packed: dict, visualizer, model: nn.Module | None) -> tuple[np.ndarray, str]:
    """Pixels (H, W, 3), RGB, and a caption, of a sample that a dataset packed."""
    sample = packed["data_samples"]
    image = packed["inputs"].permute(1, 2, 0).flip(-1).clamp(0, 255).byte().numpy()
    factor = -(-_WIDTH // image.shape[1])
    size = image.shape[1] * factor, image.shape[0] * factor
    image = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    caption, anchors = Path(sample.img_path).name, ()
    if "gt_sem_seg" in sample:
        labels = cv2.resize(sample.gt_sem_seg.data[0].numpy().astype(np.uint8), size, None, 0, 0, 0)
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(labels)[None].long())
    else:
        boxes = sample.gt_instances.bboxes
        boxes = getattr(boxes, "tensor", boxes)
        caption += f", boxes: {len(boxes)}"
        if model and len(boxes):
            anchors, best = _matched(sample, model)
            low, high = best.aminmax()
            caption += f", their anchors: {len(anchors)}, IoU of the best {low:.2f} to {high:.2f}"
        sample.gt_instances.bboxes = boxes * factor
    warnings.filterwarnings("ignore", ".*out of bounds")  # of boxes that end at the edge
    visualizer.add_datasample("", image, sample, draw_pred=False)
    if len(anchors):
        colours = ["cyan" if reached else "red" for reached in anchors[:, 4].tolist()]
        visualizer.set_image(visualizer.get_image())
        corners = (anchors[:, :4] * factor).clamp(min=0).minimum(torch.tensor(size * 2) - 1)
        visualizer.draw_bboxes(corners, colours, line_styles="--", line_widths=1)
    return visualizer.get_image(), caption


def _matched(sample: BaseDataElement, model: nn.Module) -> tuple[Tensor, Tensor]:
    """The anchors that learn a box, and each box's greatest IoU with any anchor.

    Returns:
        (n, 5) corners in pixels, and whether they reach the threshold; and (boxes,).
    """
    from mixnet_dense.det.anchors import input_anchors  # these need mmdet
    from mixnet_dense.det.targets import match, overlaps, pad_boxes

    anchors = input_anchors(model, sample.img_shape[:2])
    boxes, crowds = (
        pad_boxes([part], "cpu") for part in (sample.gt_instances, sample.ignored_instances)
    )
    threshold, crowd_iof = (
        model.bbox_head.train_cfg[key] for key in ("iou_threshold", "crowd_iof")
    )
    (matched,) = match(anchors, boxes, crowds, threshold, crowd_iof)
    (iou,) = overlaps(anchors, boxes.corners)  # (A, boxes)
    used = matched >= 0
    reached = iou[used, matched[used]] >= threshold
    return torch.column_stack([anchors[used], reached]), iou.amax(0)


def _figure(picture: np.ndarray, caption: str) -> str:
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    text = escape(caption)
    return (
        f'<figure><img src="{data_uri(data.tobytes(), "jpeg")}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
