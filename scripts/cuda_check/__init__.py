"""What `scripts/cuda_check.sh` runs: checks and times on a CUDA device, gathered in one JSON."""
