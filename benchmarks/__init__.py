"""How long large batches take: the gear as a process against the simulated site."""
