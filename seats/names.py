"""What a reader calls the steps and the parts of a run, on pages and in tables with room for it."""

STEP_NAMES = {
    "decode_clip": "reading the clip",
    "prepare": "preparing",
    "encode_video": "encoding pictures",
    "encode_audio": "encoding sound",
    "selection": "selection",
    "prefill": "prefill",
    "selection_and_prefill": "selection + prefill",
    "other": "rest before the first token",
    "generation": "tokens after the first",
    "first_token": "up to the first token",
    "per_output_token": "per output token",
    "total": "total",
}
PART_NAMES = {
    "vision_encoder": "vision encoder",
    "audio_encoder": "audio encoder",
    "selection": "selection",
    "llm_prefill": "LLM prefill",
    "lm_head": "LM head",
    "llm_decode": "LLM decoding",
}
