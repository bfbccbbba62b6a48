"""The mobile segmenters as a whole: mmseg's EncoderDecoder, its head following the backbone.

Paper: https://arxiv.org/abs/1905.02244, section 6.4.
"""

from collections.abc import Mapping

from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS as HOST_MODELS

from mixnet_dense.registry import MODELS


@MODELS.register_module()
class MobileSegmentor(EncoderDecoder):
    """mmseg's EncoderDecoder; channels and pooling that the head lacks are filled in.

    The numbers come from ``backbone.taps`` through the head's ``from_taps``: see `LRASPPHead`
    and `RASPPHead`. A number that the config gives is used as it is. All arguments are those
    of mmseg's EncoderDecoder.

    Raises:
        ValueError: the head has no ``in_channels`` and they cannot be read: the backbone has
            no ``taps``, a neck follows it, or the head is another one.
    """

    def _init_decode_head(self, decode_head: Mapping) -> None:
        kind = decode_head["type"]
        kind = HOST_MODELS.get(kind) if isinstance(kind, str) else kind
        found = {}
        if hasattr(self.backbone, "taps") and hasattr(kind, "from_taps") and not self.with_neck:
            taps = [self.backbone.taps[name] for name in self.backbone.out_taps]
            if "in_index" in decode_head:
                taps = [taps[decode_head["in_index"]]]
            found = kind.from_taps(taps)
            given, wanted = decode_head.get("in_channels"), found.get("in_channels")
            given = tuple(given) if isinstance(given, list) else given
            if given is not None and wanted is not None and given != wanted:
                raise ValueError(f"decode_head.in_channels={given}: must be {wanted}, or left out")
        elif "in_channels" not in decode_head:
            raise ValueError(
                f"decode_head.in_channels: must be given, {kind.__name__} cannot read it from "
                f"{type(self.backbone).__name__}"
            )
        super()._init_decode_head({**found, **decode_head})
