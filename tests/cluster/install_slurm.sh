#!/usr/bin/env bash
# What tests/cluster needs on Debian or Ubuntu, as root: Slurm, munge, and Snakemake's plugin in .venv.
#
#   tests/cluster/install_slurm.sh && .venv/bin/pytest tests/cluster
set -euo pipefail
cd "$(dirname "$0")/../.."
apt-get update
apt-get install -y --no-install-recommends slurm-wlm slurm-wlm-basic-plugins munge
.venv/bin/python -m pip install "snakemake-executor-plugin-slurm>=2.8,<3"
