"""Record models of timm 1.0.31: ``python -m recorders.timm_models``, see tests/data/README.md."""

import golden
import torch
from recorders.recording import import_torchvision, output_folder, write
from torch import nn

SHAPE = (1, 3, 97, 129)  # odd, which shows 'same' padding apart from symmetric
WHOLE = (
    "mixnet_s",
    "tf_mixnet_m",
    "mobilenetv1_100",
    "mobilenetv2_100",
    "mobilenetv3_large_100",
)
# Other variants, by every 16th channel of `features`.
SAMPLED = (
    "semnasnet_050",
    "mobilenetv2_035",
    "mobilenetv3_small_050",
    "tf_mobilenetv3_large_minimal_100",
)


def strided(block: nn.Module) -> bool:
    return any(isinstance(m, nn.Conv2d) and m.stride == (2, 2) for m in block.modules())


def run(model) -> dict[str, torch.Tensor]:
    """``features``, and every 8th channel after the first norm of the last strided block.

    That norm, activation included, is the expansion's; MobileNetV1 expands nothing, there
    it is the depthwise convolution's.
    """
    *_, block = (stage[0] for stage in model.blocks if strided(stage[0]))
    seen = []
    handle = block.bn1.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        features = model.forward_features(golden.image(SHAPE).double())
    handle.remove()
    return {"features": features, "c4_expansion_sample": seen[0][:, ::8]}


def main(argv=None) -> None:
    folder = output_folder(__doc__, argv)
    import_torchvision()
    import timm

    for name in (*WHOLE, *SAMPLED):
        model = golden.fill(timm.create_model(name))
        outputs = run(model)
        if name in SAMPLED:
            outputs = {"features_every_16": outputs["features"][:, ::16]}
        shapes = {key: list(value.shape) for key, value in outputs.items()}
        write(folder, timm, name, model, SHAPE, outputs, dict(outputs=shapes))


if __name__ == "__main__":
    main()
