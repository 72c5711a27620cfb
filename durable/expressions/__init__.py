"""The expression language of pipelines: Jinja's grammar over JSON data, without access to anything else.

Evaluation is pure: the same expression on the same data always returns the same value. Its time and memory are bounded
for every expression and all data.
"""
