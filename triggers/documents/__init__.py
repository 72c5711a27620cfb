"""The documents of the API: the types of its answers.

A document is made where its data is, encoded by the API, described in OpenAPI by its type, and decoded by the commands.
In OpenAPI a component has the class's name without `Document`.
"""
