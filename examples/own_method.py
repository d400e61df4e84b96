"""Use a method of one's own, from a package of one's own, beside the suite's methods.

    pip install --no-deps --no-build-isolation ./examples/plugin
    python examples/own_method.py

The package in ``examples/plugin`` brings the method ``damped-lora`` and the benchmark ``bars-and-corners``; docs/plugins.md explains it file
by file. The lines that begin with ``# %%`` are cells for editors that show a script as a notebook.
"""

# %% What the method can be set to
import matplotlib.pyplot as plt

import suite
from suite import plots
from suite.registry import METHODS

print({name: field.default for name, field in METHODS["damped-lora"].model_fields.items()})

# %% The share of every update that is kept, from little to all of it (which is plain LoRA)
runs = [
    suite.run(
        "bars-and-corners", method={"name": "damped-lora", "amount": amount}, settings={"training.steps": 20}, tracking="none"
    )
    for amount in (0.25, 0.5, 1.0)
]
for run in runs:
    last = run.record.matrix().iloc[-1]
    print(f"amount {run.record.config['method']['amount']:.2f}: {last.mean():.1f} % after the last task")

# %% The matrices side by side
figure, places = plt.subplots(1, len(runs), figsize=(10, 2.6), layout="constrained")
for place, run in zip(places, runs, strict=True):
    plots.matrix(run, axes=place)
    place.set_title(f"amount {run.record.config['method']['amount']}")
figure.savefig("damped_lora.png")
print("damped_lora.png")
