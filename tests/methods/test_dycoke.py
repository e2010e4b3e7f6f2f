"""DyCoke against its rule, grid by grid."""

import pytest

from seats.errors import SettingsError
from seats.methods.dycoke import DyCoke
from seats.tokens.layout import Modality
from tests.methods.layouts import cosine, layout_of, random_state


def merged(grids, kept):
    """Kept tokens of each grid."""
    number, size = grids.shape[:2]

    def unlike(later, earlier):
        return sorted(sorted(range(size), key=lambda i: (cosine(grids[later, i], grids[earlier, i]), i))[:kept])

    result = [list(range(size)) for _ in range(number)]
    for i in range(0, number - 1, 2):
        result[i + 1] = unlike(i + 1, i)
    for i in range(0, number - 4, 4):
        result[i + 2] = unlike(i + 2, i)
    return result


@pytest.mark.parametrize("grids", [1, 2, 3, 4, 5, 7, 8, 9, 13])
@pytest.mark.parametrize(("video", "kept"), [(0.25, 0), (0.5, 4), (0.4, 2), (1.0, 12)])
def test_silent_clips(grids, video, kept):
    layout = layout_of("qwen3-omni", (grids, 3, 4), 0)
    state = random_state(layout, smooth=True)
    found = DyCoke(video, 0.5).before_llm(state)
    where = layout.video_grids()
    expected = merged(state.embeds[where], kept)
    assert [row.nonzero()[:, 0].tolist() for row in found.keep[where]] == expected
    compared = grids // 2 + len(range(0, grids - 4, 4))
    assert found.macs == compared * 12 * 16


def test_audio_stays_and_video_pays():
    layout = layout_of("qwen2.5-omni", (9, 4, 10), 60)
    state = random_state(layout)
    found = DyCoke(0.4, 0.7).before_llm(state)
    assert found.keep[layout.is_modality(Modality.AUDIO)].all()
    share = (int(360 * 0.4 + 60 * 0.7) - 60) / 360
    kept = int((1 - 4 / 3 * (1 - share)) * 40)
    assert found.keep[layout.video_grids()].sum(1).tolist() == [40, kept, kept, kept, 40, kept, kept, kept, 40]


def test_less_than_a_quarter_is_refused():
    state = random_state(layout_of("qwen2.5-omni", (8, 4, 4), 60))
    with pytest.raises(SettingsError, match=r"dycoke cannot keep 14.06 % of the video tokens.*25%"):
        DyCoke(0.3, 0.66).before_llm(state)


def test_sound_alone_keeps_its_share():
    state = random_state(layout_of("qwen2.5-omni", None, 60))
    keep = DyCoke(0.3, 0.65).before_llm(state).keep
    assert int(keep[state.layout.is_modality(Modality.AUDIO)].sum()) == 39
