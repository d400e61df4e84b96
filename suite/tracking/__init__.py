"""Where results go: MLflow, progress."""
