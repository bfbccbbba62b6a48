"""Record the state-dict keys of our own networks: ``python -m recorders.state_dict_keys``.

Where a key changes, the checkpoints of users no longer load: record again only when a
network was added.
"""

import json

from recorders.recording import output_folder

from mixnet_dense.backbones.classifier import NAMES, build_classifier


def main(argv=None) -> None:
    keys = {name: list(build_classifier(name).state_dict()) for name in NAMES}
    path = output_folder(__doc__, argv) / "state_dict_keys.json"
    path.write_text(json.dumps(keys, indent=0))


if __name__ == "__main__":
    main()
