"""Record models of torchvision 0.28.0: ``python -m recorders.torchvision_models``.

See tests/data/README.md.
"""

import golden
import torch
from recorders.recording import import_torchvision, output_folder, write

SSDLITE, LRASPP = "ssdlite320_mobilenet_v3_large", "lraspp_mobilenet_v3_large"


def ssdlite(torchvision, folder) -> None:
    """Anchors, class logits and box regression of the whole detector before suppression."""
    from torchvision.models.detection.image_list import ImageList

    build = getattr(torchvision.models.detection, SSDLITE)
    model = golden.fill(build(weights=None, weights_backbone=None))
    x = golden.image((1, 3, 320, 320)).double()
    with torch.no_grad():
        features = list(model.backbone(x).values())
        found = model.head(features)
        (anchors,) = model.anchor_generator(ImageList(x, [(320, 320)]), features)
    outputs = {
        "anchors": anchors,
        "cls_logits_every_16": found["cls_logits"][:, ::16],
        "bbox_regression_every_4": found["bbox_regression"][:, ::4],
    }
    facts = dict(feature_shapes=[list(level.shape) for level in features])
    write(folder, torchvision, SSDLITE, model, x.shape, outputs, facts)


def lraspp(torchvision, folder) -> None:
    """Every 4th pixel of the whole segmenter's output."""
    build = getattr(torchvision.models.segmentation, LRASPP)
    model = golden.fill(build(weights=None, weights_backbone=None, num_classes=21))
    x = golden.image((1, 3, 129, 161)).double()
    with torch.no_grad():
        outputs = {"out_every_4": model(x)["out"][..., ::4, ::4]}
    write(folder, torchvision, LRASPP, model, x.shape, outputs)


def main(argv=None) -> None:
    folder = output_folder(__doc__, argv)
    torchvision = import_torchvision()
    ssdlite(torchvision, folder)
    lraspp(torchvision, folder)


if __name__ == "__main__":
    main()
