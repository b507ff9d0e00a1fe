"""The machine that a job runs on: its GPUs and who holds them, locks, and how processes start."""
