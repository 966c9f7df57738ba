"""Image classification with ResNet on one's own machines: bytes in, labels out, nothing sent elsewhere."""

__version__ = "0.1.0"
