"""What the checkpoint computes: tensors in, tensors out."""
