"""The server: sockets, connections, and how a service starts and ends."""
