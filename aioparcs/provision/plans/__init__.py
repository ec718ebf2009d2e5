"""The pure part: facts of hosts and nodes, what is wrong with them, and the plans of steps."""
