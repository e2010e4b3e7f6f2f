"""A clip and a question to the sequence of tokens the LLM sees. Importing it does not import torch."""
