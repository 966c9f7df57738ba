"""Other servers around the same network, for `make bench`: each as its documentation would have it, none tuned down.

`python -m loadtest.bench.peers.NAME PORT NETWORK` serves the ONNX file NETWORK at POST /predict. Each gets one process
per processor and one thread each, which is where they are fastest. None is a dependency: those that are installed are
measured.
"""
