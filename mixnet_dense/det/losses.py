"""Classification losses of anchors."""

import torch.nn.functional as F
from torch import Tensor, nn

from mixnet_dense.registry import MODELS


@MODELS.register_module()
class SoftmaxLoss(nn.Module):
    """Softmax cross-entropy; the background is one of the classes (SSD, equation 3)."""

    use_sigmoid = False

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each anchor.

        Args:
            logits: (N, A, classes + 1), the background last.
            target: (N, A) classes.

        Returns:
            (N, A).
        """
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
        return loss.view_as(target)


@MODELS.register_module()
class SigmoidLoss(nn.Module):
    """Binary cross-entropy of each class, summed over the classes.

    With ``alpha`` and ``gamma`` it is the focal loss, https://arxiv.org/abs/1708.02002,
    equation 5. For a class with probability p the cross-entropy is multiplied by
    ``alpha (1 - p)^gamma`` if it is the target, else by ``(1 - alpha) p^gamma``. Both losses
    are those of TensorFlow's Object Detection API.

    Args:
        background_as_zeros: the target of an anchor without an object is 0 for all slots. If
            False, it is 1 for the background's slot, which is trained but never predicted.
        alpha: None for no such factor.
        gamma: 0 for no such factor.
    """

    use_sigmoid = True

    def __init__(
        self, background_as_zeros: bool = True, alpha: float | None = None, gamma: float = 0.0
    ):
        super().__init__()
        self.background_as_zeros, self.alpha, self.gamma = background_as_zeros, alpha, gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each anchor; see `SoftmaxLoss.forward`."""
        wanted = F.one_hot(target, logits.shape[-1]).type_as(logits)
        if self.background_as_zeros:
            wanted[..., -1] = 0
        loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        if self.gamma:
            loss = loss * (logits.sigmoid() - wanted).abs() ** self.gamma
        if self.alpha is not None:
            loss = loss * (wanted * self.alpha + (1 - wanted) * (1 - self.alpha))
        return loss.sum(-1)
