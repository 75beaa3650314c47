"""The machinery that every training run shares: steps, schedules, checkpoints, logs."""
