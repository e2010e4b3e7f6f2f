"""What an answer will take, known in a moment: nothing here imports torch, decodes a frame or loads a weight."""
