"""The schedule trigger: each moment that a schedule names starts its pipeline once."""
