"""The expression language of pipelines: Jinja's grammar over JSON data, in a sandbox that has nothing else.

Pure: the same expression on the same data gives the same value for ever. Time and memory of an evaluation are
bounded, whatever the expression and the data are.
"""

from durable.expressions.expression import Expression, ExpressionError, Position, UndefinedName
from durable.expressions.template import Pointer, Template, split_text

__all__ = ["Expression", "ExpressionError", "Pointer", "Position", "Template", "UndefinedName", "split_text"]
