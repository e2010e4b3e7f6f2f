"""Accuracy on question-and-answer sets."""
