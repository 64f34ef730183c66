"""How the measures of several classes make one score. Imports no numpy: a look at a study does not wait
for it.
"""

from typing import Literal

Together = Literal["mean", "least"]  # by weights, or of the class that has the least
