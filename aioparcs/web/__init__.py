"""The web page of jobs: a server for one user, on this machine."""
