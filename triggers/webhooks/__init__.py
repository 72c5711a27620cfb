"""The webhook trigger: verified requests become deliveries, and deliveries start runs."""
