"""Train one stream, look at its numbers as a DataFrame, and draw its accuracy matrix.

    python examples/one_run.py

The lines that begin with ``# %%`` are cells for editors that show a script as a notebook. Runs go to ``codyra-runs`` in the working
folder, as those of the commands do; a second call finds them and trains nothing.
"""

# %% One run: LoRA on three small tasks
import suite
from suite import plots

small = {"benchmark.domains": ["shapes", "letters", "digits"], "benchmark.shots": 8, "training.steps": 20}
done = suite.run("mini-mtil", method="lora", settings=small, tracking="none")
print(f"run {done.record.run_id}: {done.record.status}, in {done.folder}")

# %% Its accuracy matrix: rows = tasks learned so far, columns = tasks tested
matrix = done.record.matrix()
print(matrix.round(1))

# %% How much of each task was lost after it had been learned
learned = [matrix.iloc[row + 1, row] for row in range(matrix.shape[1])]
print((matrix.iloc[-1] - learned).round(1).rename("last minus just learned"))

# %% The same as a picture
axes = plots.matrix(done)
axes.figure.savefig("accuracy_matrix.png")
print("accuracy_matrix.png")
