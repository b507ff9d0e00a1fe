#!/usr/bin/env bash
# What tests/cluster needs on Debian or Ubuntu, as root: Slurm and munge.
#
#   tests/cluster/install_slurm.sh && .venv/bin/pytest tests/cluster
set -euo pipefail
apt-get update
apt-get install -y --no-install-recommends slurm-wlm slurm-wlm-basic-plugins munge
