"""The words that seats-nano knows, and its tokenizer.

One token a word. The special tokens and the layout of the chat template are Qwen2.5-Omni's, so that the stock
processor expands a prompt of seats-nano just as it expands one of the 7B model.
"""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

PAD = "<|endoftext|>"
SPECIAL_TOKENS = (
    PAD,
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_bos|>",
    "<|vision_eos|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
    "<|VIDEO|>",
    "<|AUDIO|>",
    "<|IMAGE|>",
)
UNKNOWN = "<unk>"

SHAPES = ("circle", "square", "triangle", "cross", "star", "ring")
COLOURS = {
    "red": (222, 38, 38),
    "green": (40, 178, 62),
    "blue": (42, 74, 228),
    "yellow": (238, 216, 44),
    "purple": (158, 46, 196),
    "white": (244, 244, 244),
    "orange": (246, 132, 28),
    "cyan": (64, 208, 222),
}
COLOUR_NAMES = tuple(COLOURS)
PLURALS = {shape: "crosses" if shape == "cross" else f"{shape}s" for shape in SHAPES}
SOUNDS = ("hum", "beep", "hiss", "siren", "click", "buzz", "bell", "chirp")
DIGITS = tuple("0123456789")
LETTERS = ("a", "b", "c", "d")
SIDES = ("left", "right")

_OTHER_WORDS = (  # noqa: SIM905
    "system user assistant you are helpful . , ? : ! then none "
    "what which is the an it of in on to at and or as with while when than how many there does do be "
    "colour color shape shapes sound sounds post second time times clip video order list name describe "
    "visible seen heard appear appears appeared shown comes come before after next first last only "
    "happens answer letter yes no does do can hear see that this from"
).split()

WORDS = tuple(
    dict.fromkeys(
        (
            *SPECIAL_TOKENS,
            UNKNOWN,
            *SHAPES,
            *PLURALS.values(),
            *COLOUR_NAMES,
            *SOUNDS,
            *DIGITS,
            *LETTERS,
            *SIDES,
            *_OTHER_WORDS,
        )
    )
)
TOKEN_IDS = {word: index for index, word in enumerate(WORDS)}


def encode_words(words: list[str]) -> list[int]:
    """Ids of words that are all in the vocabulary. Raises KeyError for one that is not."""
    return [TOKEN_IDS[word] for word in words]


def build_tokenizer() -> Tokenizer:
    """The word-level tokenizer: lower case, punctuation split off, anything unknown becomes `<unk>`."""
    tokenizer = Tokenizer(models.WordLevel(dict(TOKEN_IDS), unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"\d"), behavior="isolated"),
            pre_tokenizers.Punctuation(behavior="isolated"),
        ]
    )
    # Words joined by blanks, none before punctuation: "red circle, beep" and not "red circle , beep".
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer
