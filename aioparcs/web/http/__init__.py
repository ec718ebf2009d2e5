"""The server's side of HTTP: its address, its connections, and who may make a request."""
