""".tflite files: read, rewritten, described."""
