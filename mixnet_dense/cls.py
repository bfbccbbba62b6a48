"""The papers' ImageNet networks as classifiers of mmpretrain, which must be installed.

Importing registers `MobileClassifier`. A config that names it ``mixnet_dense.cls.MobileClassifier``
does so, and no other config needs mmpretrain.
"""

from collections.abc import Mapping

from mmpretrain.models import ImageClassifier
from torch import Tensor

from mixnet_dense import compat
from mixnet_dense.backbones.classifier import Classifier, build_classifier
from mixnet_dense.registry import MODELS


@MODELS.register_module()
class MobileClassifier(ImageClassifier):
    """A network of `build_classifier` with mmpretrain's loss and prediction.

    Images (N, 3, H, W) to scores (N, num_classes). Its state dict has the keys of
    `build_classifier`, so checkpoints of one load into the other, and its ``backbone.`` into the
    backbone of a detector or segmenter.

    Args:
        name, width, num_classes: see `build_classifier`.
        loss: of the scores, as in mmpretrain.
        train_cfg, data_preprocessor, init_cfg: as in mmpretrain's ImageClassifier.
        options: of the backbone, see `MobileBackbone`.

    Raises:
        ValueError: a wrong argument; the message lists what is allowed.
    """

    def __init__(
        self,
        name: str,
        width: float = 1.0,
        num_classes: int = 1000,
        loss: Mapping = dict(type="CrossEntropyLoss"),
        train_cfg: Mapping | None = None,
        data_preprocessor: Mapping | None = None,
        init_cfg=None,
        **options,
    ):
        network = build_classifier(name, width, num_classes, **options)
        super().__init__(
            network.backbone,
            head=dict(type="ClsHead", loss=loss),
            train_cfg=train_cfg,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.num_classes = num_classes
        for part in ("hidden", "dropout", "classifier"):
            setattr(self, part, getattr(network, part))

    def extract_feat(self, inputs: Tensor, stage: str = "neck") -> tuple[Tensor, ...]:
        """The scores, which mmpretrain's ClsHead takes; of the stage ``'backbone'`` its map."""
        if stage == "backbone":
            return self.backbone(inputs)
        return (Classifier.forward(self, inputs),)


compat.guard_checkpoint_loading()
