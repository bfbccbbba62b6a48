"""Pascal VOC's 21 classes for mmseg; all label maps are checked first."""

from mmseg.datasets import PascalVOCDataset as HostDataset

from mixnet_dense.registry import DATASETS
from mixnet_dense.seg.cityscapes import CityscapesDataset


@DATASETS.register_module()
class PascalVOCDataset(CityscapesDataset):
    """mmseg's PascalVOCDataset with the checks of our `CityscapesDataset`.

    Without ``ann_file``, a list of names, it reads all images of a folder.

    Args:
        img_suffix, seg_map_suffix: of images and label maps of equal names.
        **options: of `CityscapesDataset`.
    """

    METAINFO = HostDataset.METAINFO

    def __init__(self, img_suffix: str = ".jpg", seg_map_suffix: str = ".png", **options):
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **options)
