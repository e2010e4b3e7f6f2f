"""The patched prefill, and a question from clip to answer."""
