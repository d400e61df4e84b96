"""Low-rank layers shared by all methods."""
