"""What ``fastnn train`` runs: recipes, data preparation, the loop with checkpoints, and the report."""
