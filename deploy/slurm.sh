#!/usr/bin/env bash
# A sweep on a Slurm allocation: Ray's head on the first node, a worker on each of the others, then the sweep.
#
#   sbatch deploy/slurm.sh night.yaml
#   sbatch deploy/slurm.sh night.yaml --device cuda
#
# Every line below a SET is yours to fill in. The same line submitted again goes on with the study.
#
#SBATCH --job-name=codyra-sweep
#SBATCH --output=codyra-sweep-%j.log
#SBATCH --open-mode=append
#SBATCH --ntasks-per-node=1
# SET: machines
#SBATCH --nodes=2
# SET: what to take of each machine
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
# SET: the longest the job may take
#SBATCH --time=12:00:00
# SET: partition and account, if your site wants them
##SBATCH --partition=gpu
##SBATCH --account=project
# Ten minutes before the end the sweep is interrupted, so that running trials store their last finished task.
#SBATCH --signal=B:INT@600
#SBATCH --requeue
set -euo pipefail

# SET: checkout with its .venv ('make setup'), results and data; each under one path on every node
home="${CODYRA_HOME:-$HOME/codyra-suite}"
out="${CODYRA_OUT:-$HOME/codyra-runs}"
data="${CODYRA_DATA:-$HOME/data}"

sweep="${1:?usage: sbatch deploy/slurm.sh SWEEP.yaml [options of codyra-suite sweep]}"
shift
bin="$home/.venv/bin"

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head_ip="$(getent ahostsv4 "${nodes[0]}" | awk 'NR == 1 { print $1 }')"
port=$((20000 + SLURM_JOB_ID % 20000)) # other jobs may have a Ray on this node
export RAY_ADDRESS="$head_ip:$port"
# Whoever reaches Ray's ports can run commands; nodes may be shared, so this job's Ray asks for a token of its own.
RAY_AUTH_TOKEN="$(od -An -vtx1 -N32 /dev/urandom | tr -d ' \n')"
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK" # not handed on by itself since Slurm 22.05
cd "$SLURM_SUBMIT_DIR"

set -m # otherwise a shell's background processes never see SIGINT
steps=()
# shellcheck disable=SC2317,SC2329  # the trap below calls it
stop_steps() {
  for step in "${steps[@]}"; do kill -USR1 "$step" 2>/dev/null || true; done # srun hands it on
  wait
}
trap stop_steps EXIT

# scancel and the time limit send SIGTERM to every step, while the sweep still has to store its running trials on these nodes. So the
# first process of a step hears it and does nothing, and Ray, in a session of its own, ends when this script says so with SIGUSR1.
# shellcheck disable=SC2016  # that process expands it
until_told='
  trap : TERM INT HUP
  setsid "$@" &
  ray=$!
  trap "kill -TERM $ray 2>/dev/null || true" USR1
  while kill -0 "$ray" 2>/dev/null; do wait "$ray" || true; done'

# ray_on NODE OPTIONS...: a Ray node there with what Slurm gave of it, for as long as this script runs.
ray_on() {
  srun --overlap --nodes=1 --ntasks=1 --nodelist="$1" -- \
    bash -c "$until_told" ray-node env -u RAY_ADDRESS "$bin/ray" start --block --disable-usage-stats \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" "${@:2}" &
  steps+=("$!")
}

ray_on "${nodes[0]}" --head --node-ip-address="$head_ip" --port="$port" --include-dashboard=false \
  --ray-client-server-port=$((port + 20000)) --temp-dir="/tmp/ray-$SLURM_JOB_ID"
for node in "${nodes[@]:1}"; do
  ray_on "$node" --address="$RAY_ADDRESS"
done

# Machines may join during a sweep, but these are paid for: one that does not join at all ends the job here.
joined=0
timeout 600 "$bin/python" - "${#nodes[@]}" <<'PYTHON' || joined=$?
import sys, time, ray

wanted = int(sys.argv[1])
while True:
    try:
        ray.init(log_to_driver=False, logging_level="ERROR")
        break
    except (ConnectionError, RuntimeError):
        time.sleep(1)
while (alive := sum(node["Alive"] for node in ray.nodes())) < wanted:
    time.sleep(1)
print(f"{alive} nodes, {ray.cluster_resources()}", flush=True)
PYTHON
if [ "$joined" -ne 0 ]; then
  echo "slurm.sh: not all of ${nodes[*]} joined Ray at $RAY_ADDRESS within ten minutes; see above." >&2
  exit 1
fi

"$bin/python" -m suite.cli.entry "$sweep" --go-on --out="$out" --data-root="$data" "$@" &
driver=$!
trap 'kill -INT "$driver" 2>/dev/null || true' INT TERM
code=0
wait "$driver" || code=$?
while kill -0 "$driver" 2>/dev/null; do # a trapped signal ends 'wait', not the sweep
  code=0
  wait "$driver" || code=$?
done
exit "$code"
