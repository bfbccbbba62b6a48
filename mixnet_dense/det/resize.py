"""TensorFlow 1's bilinear resize, which its Object Detection API trains and tests with."""

from mmdet.datasets.transforms import Resize

from mixnet_dense.images import tensorflow_resize
from mixnet_dense.registry import TRANSFORMS


@TRANSFORMS.register_module()
class TensorFlowResize(Resize):
    """mmdet's ``Resize`` with the bilinear of ``tf.image.resize_bilinear``.

    Pixel x of the result is read at ``x * old / new`` of the image, without aligned corners and
    without an offset of half a pixel. The result is float32, not rounded. Masks and label maps
    are resized as by mmdet.

    Args:
        scale: (width, height) of the result.
        **options: of mmdet's ``Resize``.

    Raises:
        ValueError: ``keep_ratio=True``; the image is always stretched.
    """

    def __init__(self, scale: tuple[int, int], **options):
        super().__init__(scale, **options)
        if self.keep_ratio:
            raise ValueError("keep_ratio=True: must be False, the image is stretched")

    def _resize_img(self, results: dict) -> None:
        image = results["img"]
        (width, height), (old_height, old_width) = results["scale"], image.shape[:2]
        results["img"] = tensorflow_resize(image, width, height)
        results["img_shape"] = (height, width)
        results["scale_factor"] = (width / old_width, height / old_height)
        results["keep_ratio"] = False
