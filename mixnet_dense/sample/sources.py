"""Where the pictures of the embedded sample come from: files inside two pip packages.

Nothing is downloaded. `SOURCES` is the whole list, with the licence of each file. The
licences are those that the packages state (docstrings of ``skimage.data``,
``images/README.txt`` of scikit-learn) and, for the digits, the UCI repository. Files whose
licence is not clearly stated (moon, page, motorcycle, lfw_subset) are not used.
"""

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from mixnet_dense.errors import InputError

DIGITS = {0: "zero", 3: "three", 4: "four"}
"""The names of the digits that are used."""

CLASSES = ("coin", *DIGITS.values())
"""Category names in the order of their ids 1, 2, ..."""

SPLITS = ("train", "val")

LICENCE_URLS = {
    "CC0 1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC BY 2.0": "https://creativecommons.org/licenses/by/2.0/",
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "Public domain": "https://creativecommons.org/publicdomain/mark/1.0/",
    "No known copyright restrictions": "https://rightsstatements.org/vocab/NKC/1.0/",
}


class Source(NamedTuple):
    """One file inside an installed package.

    ``use`` is ``train`` or ``val`` for a background photo of that split, else ``digits`` or
    ``coins``: `load_materials` divides these between the splits.
    """

    package: str
    file: str
    use: str
    licence: str
    credit: str


SOURCES = (
    Source("scikit-learn", "data/digits.csv.gz", "digits", "CC BY 4.0",
           "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998"),
    Source("scikit-image", "coins.png", "coins", "No known copyright restrictions",
           "Brooklyn Museum Collection: Greek coins from Pompeii"),
    Source("scikit-image", "astronaut.png", "train", "Public domain", "NASA"),
    Source("scikit-image", "brick.png", "train", "CC0 1.0", "CC0Textures, Bricks25"),
    Source("scikit-image", "camera.png", "train", "CC0 1.0", "Lav Varshney"),
    Source("scikit-image", "chelsea.png", "train", "CC0 1.0", "Stefan van der Walt"),
    Source("scikit-image", "grass.png", "train", "CC0 1.0", "linolafett, DeviantArt"),
    Source("scikit-image", "hubble_deep_field.jpg", "train", "Public domain", "NASA, HubbleSite"),
    Source("scikit-image", "ihc.png", "train", "No known copyright restrictions",
           "Center for Microscopy And Molecular Imaging (CMMI)"),
    Source("scikit-image", "retina.jpg", "train", "CC0 1.0", "Mikael Häggström, 2014"),
    Source("scikit-learn", "images/china.jpg", "train", "CC BY 2.0",
           "danielbuechele, Flickr 6061409035"),
    Source("scikit-image", "coffee.png", "val", "CC0 1.0", "Rachel Michetti"),
    Source("scikit-image", "gravel.png", "val", "CC0 1.0", "CC0Textures, Gravel04"),
    Source("scikit-image", "rocket.jpg", "val", "Public domain", "SpaceX"),
    # The package's README names danielbuechele for this one too, but links to vultilion.
    Source("scikit-learn", "images/flower.jpg", "val", "CC BY 2.0", "vultilion, Flickr 6056698931"),
)  # fmt: skip

_FOLDERS = {"scikit-image": "skimage.data", "scikit-learn": "sklearn.datasets"}


def source_path(source: Source) -> Path:
    """Return where the file of ``source`` is installed.

    Raises:
        InputError: its package is not installed.
    """
    try:
        return files(_FOLDERS[source.package]) / source.file
    except ImportError as error:
        raise InputError(
            f"the sample needs scikit-learn and scikit-image ({error}); "
            'run: pip install "mixnet_dense[sample]"'
        ) from error
