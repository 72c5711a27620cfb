"""The expression language of pipelines: Jinja's grammar over JSON data, without access to anything else.

Evaluation is pure: the same expression on the same data always gives the same value. Its time and memory are bounded,
whatever the expression and the data are.
"""
