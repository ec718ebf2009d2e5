"""Large arrays for the workers of one machine, by aioparcs and by others."""
