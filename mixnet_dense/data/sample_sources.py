"""Where the pictures of the embedded sample come from: files inside two pip packages.

Nothing is downloaded. `SOURCES` is the whole list, with the licence of each file and
the split it belongs to. The licences are those that the packages state (docstrings of
``skimage.data``, ``images/README.txt`` of scikit-learn) and, for the digits, the UCI
repository. Files whose licence is not clearly stated (moon, page, motorcycle, lfw_subset)
are not used.
"""

from dataclasses import dataclass
from pathlib import Path

from mixnet_dense.errors import InputError

CLASSES = ("coin", "zero", "three", "four")
"""Category names in the order of their ids (1, 2, ...): ``coin`` and any names of digits."""

DIGIT_NAMES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
)  # fmt: skip
SPLITS = ("train", "val")
COIN_COUNT = 24
_DIGITS_TRAIN_SHARE = 0.8

CC0 = "CC0 1.0"
CC_BY_2 = "CC BY 2.0"
CC_BY_4 = "CC BY 4.0"
PUBLIC_DOMAIN = "Public domain"
NO_KNOWN = "No known copyright restrictions"

LICENCE_URLS = {
    CC0: "https://creativecommons.org/publicdomain/zero/1.0/",
    CC_BY_2: "https://creativecommons.org/licenses/by/2.0/",
    CC_BY_4: "https://creativecommons.org/licenses/by/4.0/",
    PUBLIC_DOMAIN: "https://creativecommons.org/publicdomain/mark/1.0/",
    NO_KNOWN: "https://rightsstatements.org/vocab/NKC/1.0/",
}


@dataclass(frozen=True)
class Source:
    """One file inside an installed package.

    ``split`` is ``train`` or ``val`` for a background photo. It is ``both`` for the
    digits and the coins, whose single objects are divided by `digit_split` and
    `coin_split`.
    """

    package: str
    file: str
    role: str
    split: str
    licence: str
    credit: str


SOURCES = (
    Source("scikit-learn", "data/digits.csv.gz", "digits", "both", CC_BY_4,
           "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998"),
    Source("scikit-image", "coins.png", "coins", "both", NO_KNOWN,
           "Brooklyn Museum Collection: Greek coins from Pompeii"),
    Source("scikit-image", "astronaut.png", "background", "train", PUBLIC_DOMAIN, "NASA"),
    Source("scikit-image", "brick.png", "background", "train", CC0, "CC0Textures, Bricks25"),
    Source("scikit-image", "camera.png", "background", "train", CC0, "Lav Varshney"),
    Source("scikit-image", "chelsea.png", "background", "train", CC0, "Stefan van der Walt"),
    Source("scikit-image", "grass.png", "background", "train", CC0, "linolafett, DeviantArt"),
    Source("scikit-image", "hubble_deep_field.jpg", "background", "train", PUBLIC_DOMAIN,
           "NASA, HubbleSite"),
    Source("scikit-image", "ihc.png", "background", "train", NO_KNOWN,
           "Center for Microscopy And Molecular Imaging (CMMI)"),
    Source("scikit-image", "retina.jpg", "background", "train", CC0, "Mikael Häggström, 2014"),
    Source("scikit-learn", "images/china.jpg", "background", "train", CC_BY_2,
           "danielbuechele, Flickr 6061409035"),
    Source("scikit-image", "coffee.png", "background", "val", CC0, "Rachel Michetti"),
    Source("scikit-image", "gravel.png", "background", "val", CC0, "CC0Textures, Gravel04"),
    Source("scikit-image", "rocket.jpg", "background", "val", PUBLIC_DOMAIN, "SpaceX"),
    # The package's README names danielbuechele for this one too, but links to vultilion.
    Source("scikit-learn", "images/flower.jpg", "background", "val", CC_BY_2,
           "vultilion, Flickr 6056698931"),
)  # fmt: skip


def digit_split(index: int, total: int) -> str:
    """Return the split of digit ``index``: the last fifth, mostly other writers, is val."""
    return "train" if index < int(total * _DIGITS_TRAIN_SHARE) else "val"


def coin_split(index: int) -> str:
    """Return the split of coin ``index`` in reading order: every third one is val."""
    return "val" if index % 3 == 2 else "train"


def package_folders() -> dict[str, Path]:
    """Return the folder inside each package that the files of `SOURCES` are relative to."""
    try:
        import skimage
        import sklearn
    except ImportError as error:
        raise InputError(
            f"the sample needs scikit-learn and scikit-image ({error}); "
            'run: pip install "mixnet_dense[sample]"'
        ) from error
    return {
        "scikit-image": Path(skimage.__file__).parent / "data",
        "scikit-learn": Path(sklearn.__file__).parent / "datasets",
    }
