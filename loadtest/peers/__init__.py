"""Other servers around the same network, for `make bench`: each as its documentation would have it, none tuned down.

`python -m loadtest.peers.NAME PORT NETWORK` serves the ONNX file NETWORK at POST /predict. Each gets one process per
processor and one thread each, which is where they are fastest. None is a dependency: whoever is installed is measured.
"""
