"""What commands do, as functions that return values: the Python API, and what is done with a finished run."""
