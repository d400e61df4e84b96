"""What a run leaves: record, outcomes, answers, checkpoints, and the folder that holds them."""
