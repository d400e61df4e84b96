"""Numbers made from measurements: accuracy matrices, ranks, text scores, statistics."""
