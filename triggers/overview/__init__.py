"""The overview of a service: counts of its runs, how its pipelines do, and what needs a person."""
