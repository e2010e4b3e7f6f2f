"""What is true in a clip, second by second: the one place from which answers and training labels are read."""

from dataclasses import dataclass
from functools import cached_property

from seats.nano.vocabulary import COLOUR_NAMES, DIGITS, SHAPES, SOUNDS
from seats.nano.world import POST_HALF_WIDTH, ClipDescription

NONE = "none"
IGNORE = -100
"""Label of what is not defined, as `torch.nn.functional.cross_entropy` has it."""

GROUPS: dict[str, tuple[str, ...]] = {
    "shape": (NONE, *SHAPES),
    "colour": (NONE, *COLOUR_NAMES),
    "sound": (NONE, *SOUNDS),
    "side": (NONE, "left", "right"),
    "time": DIGITS,
    "fresh": ("no", "yes"),
}
"""The words among which each kind of fact is told apart."""

FACTS: dict[str, str] = {
    "shape": "shape",
    "colour": "colour",
    "sound": "sound",
    "side": "side",
    "time": "time",
    "fresh": "fresh",
    "while_sound": "sound",
    "new_shape": "shape",
    "new_colour": "colour",
    "left_shape": "shape",
    "left_colour": "colour",
    "right_shape": "shape",
    "right_colour": "colour",
    "next_shape": "shape",
    "next_colour": "colour",
    "next_sound": "sound",
    "previous_shape": "shape",
    "previous_colour": "colour",
    "previous_sound": "sound",
    "following_shape": "shape",
    "following_colour": "colour",
    "following_sound": "sound",
    "asked_side": "side",
    "asked_shape": "shape",
    "asked_colour": "colour",
    "nth_of_colour": "time",
    "nth_of_shape": "time",
    "nth_of_sound": "time",
    "number": "time",
}
"""Facts that auxiliary losses ask for, each with the group of its words.

Of an object: its shape, colour and side, the second it appears in, the sound in that second (`sound`), the only
sound while it is visible, its neighbours in order of appearance, and what follows it when objects and sounds are told
in one order. Of a moment: the sound, the only object visible (`shape`, `colour`), the one that appears (`new_`), the
only one on each side, the neighbours of the sound; and where a question names a side first, that side and the only one
there (`asked_`). Of a video token that shows an object: that object, its side now, whether it has just appeared
(`fresh`), and how many of its colour or shape there have been with it (`nth_of_`); so for a token of a sound. Of a
thing counted: its number.
"""
FACT_NAMES = tuple(FACTS)
ASKED_FACTS = ("asked_shape", "asked_colour")
"""Facts that follow from the asked side and what is on each side, and so can only be known a layer after these."""
ENTITY_FACTS = tuple(name for name in FACTS if not name.startswith("asked_"))
"""Facts of what a question names that are so whatever it asks."""


def label(group: str, word: str | None) -> int:
    """Index of `word` in its group; None is "none"."""
    return GROUPS[group].index(NONE if word is None else word)


@dataclass(frozen=True)
class ClipFacts:
    """Relations between the objects and the sounds of one clip. Objects and sounds are given by index."""

    clip: ClipDescription

    @cached_property
    def visible(self) -> list[list[int]]:
        """For each second the objects that are visible in it."""
        return [
            [i for i, item in enumerate(self.clip.objects) if item.first_second <= second <= item.last_second]
            for second in range(self.clip.seconds)
        ]

    @cached_property
    def appearing(self) -> list[int | None]:
        """For each second the object that appears in it."""
        found: list[int | None] = [None] * self.clip.seconds
        for index, item in enumerate(self.clip.objects):
            found[item.first_second] = index
        return found

    @cached_property
    def heard(self) -> list[int | None]:
        """For each second the sound in it."""
        found: list[int | None] = [None] * self.clip.seconds
        for index, sound in enumerate(self.clip.sounds):
            found[sound.second] = index
        return found

    def side(self, index: int, second: int) -> str | None:
        """ "left" or "right" of the post for the whole of that second, or None where the object meets the post."""
        item = self.clip.objects[index]
        sides = set()
        for time in (max(item.start, second), min(item.end, second + 1)):
            distance = item.position(time)[0] - self.clip.post_x
            near = abs(distance) < POST_HALF_WIDTH + 2
            sides.add("post" if near else "left" if distance < 0 else "right")
        return sides.pop() if len(sides) == 1 and "post" not in sides else None

    def lasting_side(self, index: int) -> str | None:
        """The object's side if it is the same in all seconds in which it is visible."""
        item = self.clip.objects[index]
        sides = {self.side(index, second) for second in range(item.first_second, item.last_second + 1)}
        return sides.pop() if len(sides) == 1 else None

    def only_visible(self, second: int, side: str | None = None) -> tuple[bool, int | None]:
        """The object visible in a second, where there is at most one (on `side`).

        Returns:
            Whether that is well defined, and the object or None. On a side it is not defined while an object crosses.
        """
        here = self.visible[second]
        if side is not None:
            sides = [self.side(index, second) for index in here]
            if None in sides:
                return False, None
            here = [index for index, its in zip(here, sides, strict=True) if its == side]
        return len(here) <= 1, here[0] if len(here) == 1 else None

    def sounds_while(self, index: int) -> list[int]:
        """The sounds heard while an object is visible."""
        item = self.clip.objects[index]
        found = (self.heard[second] for second in range(item.first_second, item.last_second + 1))
        return [sound for sound in found if sound is not None]

    def unique_sound(self, index: int) -> bool:
        """Whether the sound's kind is heard once only."""
        kind = self.clip.sounds[index].kind
        return sum(sound.kind == kind for sound in self.clip.sounds) == 1

    def of_object(self, index: int) -> dict[str, int]:
        """Labels of the facts about one object."""
        clip = self.clip
        item = clip.objects[index]
        facts = {
            "shape": label("shape", item.shape),
            "colour": label("colour", item.colour),
            "time": item.first_second,
        }
        side = self.lasting_side(index)
        if side is not None:
            facts["side"] = label("side", side)
        if clip.has_audio:
            facts["sound"] = self._sound_label(self.heard[item.first_second])
            sounds = self.sounds_while(index)
            if len(sounds) <= 1:
                facts["while_sound"] = self._sound_label(sounds[0] if sounds else None)
        for name, other in (("next", index + 1), ("previous", index - 1)):
            facts |= self._object_labels(name, other if 0 <= other < len(clip.objects) else None)
        return facts | self._following("object", index)

    def of_second(self, second: int) -> dict[str, int]:
        """Labels of the facts about one second."""
        facts = {"time": second}
        if self.clip.has_audio:
            facts["sound"] = self._sound_label(self.heard[second])
        if self.clip.has_video:
            facts |= self._object_labels("new", self.appearing[second])
            for name, side in (("", None), ("left", "left"), ("right", "right")):
                defined, index = self.only_visible(second, side)
                if defined:
                    facts |= self._object_labels(name, index)
        return facts

    def of_sound(self, index: int, side: str | None = None) -> dict[str, int]:
        """Labels of the facts about one sound: those of its second, with what is on `side`, and its neighbours."""
        second = self.clip.sounds[index].second
        facts = self.of_second(second)
        if side is not None:
            facts["asked_side"] = label("side", side)
            facts |= self._object_labels("asked", self.only_visible(second, side)[1])
        for name, other in (("next", index + 1), ("previous", index - 1)):
            inside = 0 <= other < len(self.clip.sounds)
            facts[f"{name}_sound"] = self._sound_label(other if inside else None)
        return facts | self._following("sound", index)

    @cached_property
    def events(self) -> list[tuple[str, int]]:
        """All objects and sounds, as ("object" or "sound", index), by second; what appears before what is heard."""
        timed = [(item.first_second, "object", index) for index, item in enumerate(self.clip.objects)]
        timed += [(sound.second, "sound", index) for index, sound in enumerate(self.clip.sounds)]
        return [(kind, index) for _, kind, index in sorted(timed)]

    def nth(self, index: int) -> dict[str, int]:
        """Labels of how many objects of this one's colour and shape have appeared, with itself."""
        so_far = self.clip.objects[: index + 1]
        return {
            "nth_of_colour": sum(item.colour == so_far[-1].colour for item in so_far),
            "nth_of_shape": sum(item.shape == so_far[-1].shape for item in so_far),
        }

    def nth_of_sound(self, index: int) -> int:
        """How many sounds of this one's kind have been heard, with itself."""
        return sum(sound.kind == self.clip.sounds[index].kind for sound in self.clip.sounds[: index + 1])

    def _following(self, kind: str, index: int) -> dict[str, int]:
        place = self.events.index((kind, index)) + 1
        next_kind, other = self.events[place] if place < len(self.events) else ("", None)
        labels = self._object_labels("following", other if next_kind == "object" else None)
        return labels | {"following_sound": self._sound_label(other if next_kind == "sound" else None)}

    def _sound_label(self, index: int | None) -> int:
        return label("sound", None if index is None else self.clip.sounds[index].kind)

    def _object_labels(self, name: str, index: int | None) -> dict[str, int]:
        item = None if index is None else self.clip.objects[index]
        start = f"{name}_" if name else ""
        return {
            f"{start}shape": label("shape", item.shape if item else None),
            f"{start}colour": label("colour", item.colour if item else None),
        }
