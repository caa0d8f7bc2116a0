"""The in-process host: attaches to a TracerProvider and runs the pipeline."""
