"""Ways to share one adapter among clients that train different numbers of its components."""
