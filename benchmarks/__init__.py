"""How close the gear comes to the limit: as a process against the simulated site, beside others."""
