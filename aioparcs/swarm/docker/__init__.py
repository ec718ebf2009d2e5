"""Docker's API: the one place that speaks to it."""
