"""From a torch network to a checked int8 .tflite."""
