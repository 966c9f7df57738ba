"""Load for the service, and what people run instead of it."""
