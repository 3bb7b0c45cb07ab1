"""The filter language of the list of runs: `status = "crashed" and min(val_loss) < 0.3`.

A text is parsed by a grammar, and each rule of it makes a piece of one SQLAlchemy expression:
nothing that a user writes becomes SQL, or Python. docs/how-to/where.md tells the language.

A condition is never NULL: a comparison with what a run does not have is false, and `not` of it
is true. Values of the filter are bind parameters, all of them.

The fields of the language are also what runs are ordered by, and what columns of a list show.
"""

from tracker.where.compiler import compile_where
from tracker.where.ordering import compile_order
from tracker.where.shown import shown_columns
from tracker.where.sql import by_sets

__all__ = ["by_sets", "compile_order", "compile_where", "shown_columns"]
