"""Search spaces, one declaration per file."""
