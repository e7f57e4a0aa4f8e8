"""What comes from elsewhere and goes elsewhere: foreign checkpoints, ONNX."""
