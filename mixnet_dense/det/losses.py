"""What the class scores of anchors cost, and how scores become confidences."""

import torch.nn.functional as F
from torch import Tensor, nn

from mixnet_dense.registry import MODELS


@MODELS.register_module()
class SoftmaxLoss(nn.Module):
    """Classes exclude each other, the background is one of them (SSD, equation 3)."""

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
    """Each class stands by itself: binary cross-entropy, summed over the classes.

    With ``alpha`` and ``gamma`` it is the focal loss, https://arxiv.org/abs/1708.02002,
    equation 5: the cross-entropy of a class with the probability p times ``alpha (1 - p)^gamma``
    where it is the target, ``(1 - alpha) p^gamma`` where it is not. Both kinds are those of
    TensorFlow's Object Detection API.

    Args:
        background_as_zeros: an anchor without an object has no class; else it has the class
            background, whose slot is trained like any other, and has no part in predictions.
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
