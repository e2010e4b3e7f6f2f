"""A folder of clips becomes a results file: one row per clip and question, resumable, whatever the clips are like."""
