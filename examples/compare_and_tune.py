"""Compare methods at one setting each, then tune them alike, and see whether that changes the order.

    python examples/compare_and_tune.py

Small enough for a laptop and therefore too small for claims: the sentences that it prints say what the runs show. The lines that begin
with ``# %%`` are cells for editors that show a script as a notebook.
"""

# %% Three methods, two seeds, one setting each
import suite
from suite import plots
from suite.leaderboard.tuned_table import tuned_frame

STREAM = {"name": "mini-mtil", "domains": ["shapes", "digits"], "shots": 8}
METHODS = ["zero-shot", "lora", "olora"]
PLACES = {"out": "example-runs", "tracking": "none"}  # apart from other runs, so that the board shows these alone


def main() -> None:
    """Ray starts worker processes, which import this file: what must happen once stands in a function."""
    settings = {"benchmark.domains": STREAM["domains"], "benchmark.shots": STREAM["shots"], "training.steps": 20}
    compared = suite.compare([STREAM["name"]], METHODS, seeds=[0, 1], settings=settings, concurrency=1, **PLACES)
    for sentence in compared.failures:
        print(sentence)

    # %% Accuracy on each task after every task, one line per method
    plots.tasks(compared.runs)[0, 0].figure.savefig("tasks.png")

    # %% The board: mean over seeds, and which rows cannot be told from the best
    board = suite.leaderboard(**PLACES)
    print(board[["method", "zscl.last", "zscl.last std", "standing", "n"]].round(1).to_string(index=False))

    # %% The same methods, each tuned with three trials and judged on a seed that no trial used
    tuned = suite.tune(
        {
            "name": "example",
            "benchmarks": [STREAM],
            "methods": METHODS,
            "settings": {"training": {"steps": 20}},
            "budget": {"trials": 3},
            "judge": {"seeds": [2]},
        },
        **PLACES,
    )
    print(tuned_frame(tuned)[["method", "default", "tuned", "gain", "gain low", "gain high"]].round(1).to_string(index=False))
    plots.tuning(tuned).figure.savefig("order.png")
    print("tasks.png order.png")


if __name__ == "__main__":
    main()
