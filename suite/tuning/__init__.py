"""Search: spaces, searcher, stopping, studies."""
