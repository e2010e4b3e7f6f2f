"""What an answer costs: FLOPs of every part, memory, time per step. Importing it does not import torch."""
