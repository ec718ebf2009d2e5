"""Makes a Docker Swarm of bare machines over ssh: looks at them, plans the steps, and carries them out."""
