"""The declarative form of a connector: one YAML file."""
