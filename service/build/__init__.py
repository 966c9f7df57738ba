"""Weights become a model bundle: the only part of the service that imports PyTorch."""
