#!/usr/bin/env bash
# Workers of one study on a Slurm cluster: an array job, each task one worker, all on one database.
#
#   sbatch --array=1-16 docs/clusters/slurm.sh digits --sampler gp --trials 200
#
# The database's address stands in the file ~/.hptoolkit-storage (chmod 600) and goes by the
# environment: on a command line every user of the node could read its password.
#SBATCH --job-name=hptoolkit
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --output=slurm-%A-%a.out
# A worker gets SIGTERM two minutes before its time is up: it puts its trial back, and the next
# worker goes on with it. On GPUs: sbatch --gres=gpu:1 …
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -euo pipefail

export HPTOOLKIT_STORAGE="${HPTOOLKIT_STORAGE:-$(cat ~/.hptoolkit-storage)}"
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"

# exec: the signal reaches Python itself.
exec "${PYTHON:-python}" -m hptoolkit.study "$@"
