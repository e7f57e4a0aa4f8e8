"""Import and export: foreign checkpoints, ONNX."""
