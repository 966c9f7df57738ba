"""The deployment as a Pulumi program; `__main__` reads like the architecture diagram."""
