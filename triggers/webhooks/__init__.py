"""The webhook trigger: whom a request comes from, what it says, and the runs that it starts."""
