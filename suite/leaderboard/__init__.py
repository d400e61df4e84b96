"""Tables and pictures made from records.

``suite.leaderboard(...)`` is the leaderboard as a DataFrame; see ``suite.workflows.tables.leaderboard``.
"""

import sys

from suite.api_package import ApiPackage

sys.modules[__name__].__class__ = ApiPackage
