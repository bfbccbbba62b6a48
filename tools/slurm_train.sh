#!/usr/bin/env bash
# Train with SLURM, a task for each GPU:
#   GPUS=16 bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
# GPUS: of all machines (8). GPUS_PER_NODE: of each machine (8). CPUS_PER_TASK: cores for a task and
# its data workers (5). SRUN_ARGS: more arguments of srun.
set -e
if [ $# -lt 4 ]; then
    echo "usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments]" >&2
    exit 2
fi
partition=$1 job=$2 config=$3 work_dir=$4
shift 4
gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
exec srun -p "$partition" --job-name="$job" --gres="gpu:$per_node" \
    --ntasks="$gpus" --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$config" --work-dir "$work_dir" \
    --launcher slurm "$@"
