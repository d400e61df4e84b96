"""What a run leaves: record, outcomes, answers, checkpoints, and the folder that holds them.

``suite.runs(...)`` lists stored runs; see ``suite.workflows.tables.runs``.
"""

import sys

from suite.api_package import ApiPackage

sys.modules[__name__].__class__ = ApiPackage
