"""The streams of a simulated server: server-sent events and WebSockets."""
