"""The ways from a torch network to a .tflite: one module each, listed in routes.py."""
