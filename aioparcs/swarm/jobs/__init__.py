"""Jobs on a Swarm: submitting, following, listing and removing them."""
