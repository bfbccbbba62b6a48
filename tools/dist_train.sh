#!/usr/bin/env bash
# Train on the GPUs of one machine or of several, or on CPU processes where there are none:
#   bash tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
# On several machines run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -e
if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]" >&2
    exit 2
fi
config=$1 processes=$2
shift 2
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}" --nproc_per_node "$processes" \
    --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${PORT:-29500}" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
