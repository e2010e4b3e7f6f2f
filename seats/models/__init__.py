"""What differs between model families: finding and loading them, their encoders, saliency and relevance."""
