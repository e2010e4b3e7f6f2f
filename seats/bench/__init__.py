"""Measuring speed: random weights at real dimensions (`seats bench`), a real model and clip (`seats profile`)."""
