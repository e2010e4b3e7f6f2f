"""The sound is complete, on time, mono and 16 kHz."""

import math
import subprocess
import sys
import types
from fractions import Fraction

import av
import numpy as np
import pytest

from seats.errors import MediaError
from seats.media import load_clip, probe
from seats.media.adts import unsaid_seconds
from seats.media.audio import MonoWriter
from tests.media.make import tone, write_clip, write_cover_mp3, write_damaged, write_pieces


@pytest.fixture(scope="module")
def librosa():
    """With a stand-in for Numba, which compiles for 15 s what librosa does not resample with."""

    def as_it_is(*said, **_):
        return said[0] if said and callable(said[0]) else as_it_is

    numba = types.ModuleType("numba")
    numba.jit = numba.stencil = numba.guvectorize = numba.vectorize = as_it_is
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numba", numba)
        module = pytest.importorskip("librosa")
        assert callable(module.resample)  # which is only imported when it is asked for
        yield module
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "librosa":
            del sys.modules[name]


def _hear(path, **kwargs):
    return load_clip(path, use_video=False, timeout_s=60, **kwargs).audio


def _noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(7)
    return (0.3 * rng.standard_normal((channels, round(seconds * rate)))).clip(-0.99, 0.99).astype(np.float32)


def _loud_from(waveform: np.ndarray, threshold: float = 0.1) -> float:
    """Seconds at which the sound begins."""
    return float(np.argmax(np.abs(waveform) > threshold)) / 16_000


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_streamed_resampling_equals_librosa(librosa, rate):
    sound = _noise(2.7, rate)[0]
    writer = MonoWriter(math.inf)
    for begin in range(0, len(sound), 1_000):
        writer.write(sound[begin : begin + 1_000], rate, begin / rate)
    expected = librosa.resample(sound, orig_sr=rate, target_sr=16_000, res_type="soxr_hq")
    got = writer.finish()
    assert len(got) == len(expected)
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels", "tolerance"),
    [
        ("s16.wav", "pcm_s16le", 44_100, 2, 1e-4),
        ("u8.wav", "pcm_u8", 22_050, 1, 6e-3),
        ("s24.wav", "pcm_s24le", 48_000, 2, 1e-5),
        ("f32.wav", "pcm_f32le", 16_000, 1, 1e-6),
        ("six.wav", "pcm_s16le", 48_000, 6, 1e-4),
        ("s16.flac", "flac", 44_100, 2, 1e-4),
        ("s16.mkv", "pcm_s16le", 48_000, 2, 1e-4),
    ],
)
def test_lossless_sound_is_the_mean_of_its_channels(clips, librosa, name, codec, rate, channels, tolerance):
    sound = _noise(1.3, rate, channels)
    audio = _hear(write_clip(clips / name, sound=sound, sound_rate=rate, sound_codec=codec))
    expected = librosa.resample(librosa.to_mono(sound), orig_sr=rate, target_sr=16_000)
    assert (audio.sample_rate, audio.source_rate, audio.channels) == (16_000, rate, channels)
    assert audio.waveform.dtype == np.float32
    assert audio.waveform.shape == expected.shape
    assert audio.seconds == pytest.approx(1.3, abs=1e-4)
    np.testing.assert_allclose(audio.waveform, expected, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp3", "libmp3lame", 44_100),
        ("a.m4a", "aac", 44_100),
        ("a.mp4", "aac", 48_000),
        ("a.ogg", "libopus", 48_000),
        ("a.webm", "libopus", 48_000),
        ("a.ts", "aac", 48_000),
    ],
)
def test_lossy_sound_is_complete_and_on_time(clips, name, codec, rate):
    sound = np.zeros((1, 2 * rate), np.float32)
    sound[0, rate // 2 : rate] = tone(0.5, rate)[0]
    audio = _hear(write_clip(clips / name, sound=sound, sound_rate=rate, sound_codec=codec))
    late = 0.03 if name.endswith("ts") else 0.005  # MPEG-TS does not say how much padding the encoder put in
    assert audio.seconds == pytest.approx(2.0, abs=0.06)
    assert _loud_from(audio.waveform) == pytest.approx(0.5, abs=late)


_HEARD_BY_ANOTHER_PROCESS = """
import sys
from seats.media import load_clip, probe
for path in sys.argv[1:]:
    info, audio = probe(path).audio, load_clip(path).audio
    loudness = float(audio.waveform[8_000:40_000].mean())
    print(info.channels, audio.channels, round(audio.seconds, 1), round(loudness, 2))
"""


@pytest.mark.parametrize(
    ("name", "codec", "layout", "channels"),
    [
        ("order-of-its-own.caf", "pcm_s16be", "7.1", 8),
        ("order-of-its-own.aiff", "pcm_s16be", "7.1", 8),
        ("eight-planes.mp4", "aac", "7.1", 8),
        ("eight-planes.wv", "wavpack", "7.1", 8),
        ("sixteen-planes.wv", "wavpack", "hexadecagonal", 16),
        ("64-bits.mka", "pcm_s64le", "stereo", 2),
    ],
)
def test_many_channels_and_bits_are_heard(clips, name, codec, layout, channels):
    """In a process of its own: PyAV frees an order of channels twice and reads past the last of eight planes, of which
    nothing can be caught."""
    with av.open(str(clips / name), "w") as out:
        stream = out.add_stream(codec, rate=16_000, layout=layout)
        for block in range(48):
            samples = np.full((1, 1_000 * channels), 0.25, np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = 16_000, block * 1_000, Fraction(1, 16_000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    command = [sys.executable, "-c", _HEARD_BY_ANOTHER_PROCESS, clips / name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{channels} {channels} 3.0 0.25\n", "")


def test_samples_too_large_are_taken_without_a_word(clips, capfd, recwarn):
    sound = np.full((2, 48_000), 0.25)
    sound[:, 24_000:24_010] = 1e300
    with av.open(str(clips / "too-large.mka"), "w") as out:
        stream = out.add_stream("pcm_f64le", rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(sound.T.reshape(1, -1), format="dbl", layout="stereo")
        frame.sample_rate = 48_000
        out.mux(stream.encode(frame))
    clip = load_clip(clips / "too-large.mka")
    assert "10 samples of the sound not a number, replaced by silence" in clip.notes
    assert clip.audio.waveform[1_000:7_000] == pytest.approx(0.25, abs=1e-3)
    assert (capfd.readouterr(), recwarn.list) == (("", ""), [])


def test_channels_that_only_the_first_packet_describes_are_heard_further_on(clips):
    path = write_clip(clips / "three.ts", sound=[np.tile(tone(4.0, 32_000), (3, 1))], sound_rate=32_000)
    assert load_clip(path, start_s=2.0).audio.seconds == pytest.approx(2.0, abs=0.1)


def test_long_sound_is_not_cut(clips):
    sound = np.zeros((1, 8_000 * 330), np.float32)
    sound[0, -8_000:] = tone(1.0, 8_000)[0]
    path = write_clip(clips / "long.wav", sound=sound, sound_rate=8_000, sound_codec="pcm_s16le")
    audio = _hear(path)
    assert audio.seconds == 330
    assert _loud_from(audio.waveform) == pytest.approx(329, abs=0.01)


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.mov", "late.ts"])
def test_sound_that_starts_late_is_padded(clips, name):
    path = write_clip(clips / name, frames=60, sound=tone(1.0), sound_start_s=0.75)
    clip = load_clip(path)
    assert _loud_from(clip.audio.waveform) == pytest.approx(0.75, abs=0.03)
    assert clip.video.times[0] == pytest.approx(0.0, abs=0.001)


def test_pictures_that_start_late_keep_the_sound_in_step(clips):
    path = write_clip(clips / "latevideo.mp4", frames=60, video_start_s=1.0, sound=tone(3.0))
    clip = load_clip(path)
    assert _loud_from(clip.audio.waveform) < 0.01
    assert clip.video.times[0] == pytest.approx(1.0)
    assert clip.video.fps == pytest.approx(2.0)
    assert len(clip.video.pixels) == 6  # three seconds, although the pictures last two
    assert any("begin 1.0 s late" in note for note in clip.notes)


def test_both_starting_late_start_the_clip(clips):
    path = write_clip(clips / "shift.ts", frames=60, video_start_s=5.0, sound=tone(2.0), sound_start_s=5.5)
    clip = load_clip(path)
    assert clip.video.times[0] == pytest.approx(0.0, abs=0.03)
    assert _loud_from(clip.audio.waveform) == pytest.approx(0.5, abs=0.05)
    assert clip.duration_s < 3.1


@pytest.mark.parametrize(
    "name", ["cut.mp4", "cut.mkv", "cut.wav", "cut.adpcm.wav", "cut.mp3", "cut.flac", "cut.ogg", "cut.ts"]
)
@pytest.mark.parametrize("start", [0.4, 9.3])
def test_a_cut_is_exact(clips, name, start):
    rate = 44_100 if name != "cut.ogg" else 48_000
    codecs = {"wav": "pcm_s16le", "adpcm.wav": "adpcm_ms", "mp3": "libmp3lame", "flac": "flac", "ogg": "libopus"}
    codec = codecs.get(name[4:], "aac")
    path = clips / name
    if not path.exists():
        sweep = np.arange(12 * rate) / rate  # a rising tone: every moment sounds different
        sound = (0.5 * np.sin(2 * np.pi * (300 + 40 * sweep) * sweep)).astype(np.float32)[None]
        write_clip(path, sound=sound, sound_rate=rate, sound_codec=codec)
    whole, part = _hear(path), _hear(path, start_s=start, end_s=start + 1.5)
    assert part.seconds == pytest.approx(1.5, abs=1e-4)
    begin = round(start * 16_000)
    expected = whole.waveform[begin : begin + len(part.waveform)]
    # the resampler has its own beginning and end in each; mkv and ts round the place sought
    lags = range(-16, 17) if name in ("cut.mkv", "cut.ts") and start > 1 else [0]
    middle = part.waveform[200:-200]
    off = min(np.abs(middle - expected[200 + lag : len(expected) - 200 + lag]).max() for lag in lags)
    assert off < 0.02


def test_gaps_become_silence():
    writer = MonoWriter(math.inf)
    writer.write(np.ones(8_000, np.float32), 16_000, 0.0)
    writer.write(np.ones(8_000, np.float32), 16_000, 2.0)
    sound = writer.finish()
    assert len(sound) == 40_000
    assert sound[:8_000].all()
    assert not sound[8_000:32_000].any()
    assert sound[32_000:].all()


def test_overlaps_are_cut_and_rounded_timestamps_are_not():
    writer = MonoWriter(math.inf)
    ramp = np.arange(48_000, dtype=np.float32)
    for begin in range(0, 32_000, 1_000):
        writer.write(ramp[begin : begin + 1_000], 16_000, round(begin / 16_000, 2))
    writer.write(ramp[16_000:48_000], 16_000, 1.0)
    np.testing.assert_array_equal(writer.finish(), ramp)


@pytest.mark.parametrize(("apart_s", "length_s"), [(0.1, 1.1), (0.03, 1.0), (-0.03, 1.0), (-0.1, 0.9)])
def test_from_a_tenth_of_a_second_on_gaps_and_overlaps_are_real(apart_s, length_s):
    """Less than an audio token is what containers round."""
    writer = MonoWriter(math.inf)
    writer.write(np.ones(8_000, np.float32), 16_000, 0.0)
    writer.write(np.full(8_000, 2, np.float32), 16_000, 0.5 + apart_s)
    sound = writer.finish()
    assert len(sound) == round(16_000 * length_s)
    assert np.count_nonzero(sound == 0) == (1_600 if apart_s == 0.1 else 0)


def test_the_end_is_exact_and_a_changing_rate_is_followed():
    writer = MonoWriter(2.5)
    for second in range(4):
        rate = 48_000 if second % 2 else 24_000
        writer.write(tone(1.0, rate)[0], rate, second)
    assert writer.full
    sound = writer.finish()
    assert len(sound) == 40_000
    within = np.arange(39_600) % 16_000
    whole = np.flatnonzero((within > 400) & (within < 15_600))  # the resampler hears the edges
    np.testing.assert_allclose(sound[whole], tone(2.5, 16_000)[0][whole], atol=1e-3)


@pytest.mark.parametrize("second_rate", [16_000, 48_000])
def test_silence_follows_short_sound_up_to_the_end(second_rate):
    writer = MonoWriter(2.0)
    writer.write(np.ones(8_000, np.float32), 16_000, 0.0)
    writer.write(np.ones(8_000, np.float32), second_rate, 3.0)
    assert len(writer.finish()) == 32_000


def test_a_wild_timestamp_does_not_fill_the_memory():
    writer = MonoWriter(math.inf)
    writer.write(np.ones(16_000, np.float32), 16_000, 0.0)
    writer.write(np.ones(16_000, np.float32), 16_000, 1e9)
    assert len(writer.finish()) == 32_000


@pytest.fixture(scope="module")
def interrupted_clip(clips):
    """10 s of pictures; sound only in the first and in the last second."""
    path = clips / "interrupted.mkv"
    return write_pieces(path, {0.0: tone(1.0)[0], 9.0: tone(1.0)[0]}, frames=300)


def test_sound_past_the_end_is_not_waited_for_in_silence(interrupted_clip):
    assert load_clip(interrupted_clip).audio.seconds == pytest.approx(10.0, abs=0.03)
    clip = load_clip(interrupted_clip, end_s=5.0)
    assert clip.audio.seconds == 5.0
    assert np.abs(clip.audio.waveform[:15_000]).max() > 0.4
    assert not clip.audio.waveform[17_000:].any()


@pytest.mark.parametrize(("start", "end"), [(3.0, 4.0), (1.5, 8.9)])
def test_a_range_between_two_sounds_has_none(interrupted_clip, start, end):
    clip = load_clip(interrupted_clip, start_s=start, end_s=end)
    assert clip.audio is None
    assert any("there is no sound between" in note for note in clip.notes)


def test_a_range_that_begins_in_a_pause_has_the_sound_behind_it_on_time(interrupted_clip):
    """Of the sound before the range some is decoded too."""
    audio = _hear(interrupted_clip, start_s=1.5, end_s=9.5)
    assert audio.seconds == 8.0
    assert _loud_from(audio.waveform) == pytest.approx(7.5, abs=0.01)


def test_a_pause_behind_a_change_of_the_rate_is_said_at_its_place():
    writer = MonoWriter(math.inf)
    for rate, at_s in ((16_000, 0.0), (16_000, 1.0), (48_000, 2.0), (48_000, 6.0)):
        writer.write(np.ones(rate, np.float32), rate, at_s)
    assert writer.pauses == [(3.0, 6.0)]
    assert len(writer.finish()) == 7 * 16_000


@pytest.mark.parametrize(("second_s", "said"), [(1.9, False), (2.1, True), (12.0, True)])
def test_a_long_pause_is_said(clips, second_s, said):
    clip = load_clip(write_pieces(clips / f"pause{second_s}.mkv", {0.0: tone(1.0)[0], second_s: tone(1.0)[0]}))
    assert clip.audio.seconds == pytest.approx(second_s + 1, abs=0.01)
    pauses = [note for note in clip.notes if "silence" in note]
    assert pauses == [f"no sound in the file between 1.0 s and {second_s} s; silence stands in"] * said


@pytest.mark.parametrize(("more", "said"), [((24.0,), "1 more such pause"), ((24.0, 36.0), "2 more such pauses")])
def test_further_pauses_are_counted(clips, more, said):
    path = write_pieces(clips / f"pauses{len(more)}.mkv", {at: tone(1.0)[0] for at in (0.0, 12.0, *more)})
    assert f"no sound in the file between 1.0 s and 12.0 s (and {said}); silence stands in" in load_clip(path).notes


@pytest.mark.parametrize("late_s", [5.0, 8.0, 4e6])
def test_sound_that_starts_past_the_end_is_none(clips, late_s):
    path = write_pieces(clips / f"from{late_s:g}.mkv", {late_s: tone(1.0)[0]}, frames=300)
    clip = load_clip(path, end_s=5.0)
    assert clip.audio is None
    assert any("there is no sound between 0 s and 5 s" in note for note in clip.notes)


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("length_s", [5.0, np.inf])
def test_a_wild_timestamp_is_passed_over(rate, length_s):
    """By itself it is wrong; where a clock was set, what follows is on the new one."""
    writer = MonoWriter(length_s)
    writer.write(np.ones(rate, np.float32), rate, 0.0)
    writer.write(np.ones(rate, np.float32), rate, 4e6)
    writer.write(np.ones(rate, np.float32), rate, 2.0)
    assert not writer.full
    assert len(writer.finish()) == 48_000


@pytest.mark.parametrize("seconds", [0.05, 1.0])
@pytest.mark.parametrize(
    ("right", "said"),
    [(-1.0, True), (-0.999, True), (-0.981, True), (-0.979, False), (-0.9, False), (0.0, False), (1.0, False)],
)
def test_channels_that_cancel_each_other_out_are_told(clips, right, said, seconds):
    left = tone(seconds)[0]
    path = write_clip(clips / f"opposite{right}.wav", sound=np.stack([left, right * left]), sound_codec="pcm_f32le")
    notes = load_clip(path).notes
    assert any("cancel each other out" in note for note in notes) == said


@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_not_a_number_leave_the_rest(clips, channels):
    path = write_clip(clips / f"nan{channels}.wav", sound=tone(1.0, channels=channels), sound_codec="pcm_f32le")
    whole = _hear(path).waveform
    data = bytearray(path.read_bytes())
    begin = data.index(b"data") + 8
    for place, value in ((24_000, np.nan), (36_000, np.inf)):
        at = begin + 4 * channels * place
        data[at : at + 4] = np.float32(value).tobytes()
    (clips / f"nan{channels}-hurt.wav").write_bytes(data)
    clip = load_clip(clips / f"nan{channels}-hurt.wav")
    assert np.isfinite(clip.audio.waveform).all()
    np.testing.assert_allclose(clip.audio.waveform[:7_900], whole[:7_900], atol=1e-4)
    np.testing.assert_allclose(clip.audio.waveform[12_100:], whole[12_100:], atol=1e-4)
    assert any("2 samples of the sound not a number" in note for note in clip.notes)


@pytest.mark.parametrize("damaged", [[0], [5], [0, 5]])
def test_damaged_pieces_are_silence(clips, damaged):
    path = write_clip(clips / "pieces.mkv", sound=tone(1.0), sound_codec="flac")
    whole = _hear(path).waveform
    with av.open(str(path)) as source:
        packets = [
            (packet.pos, packet.size, float(packet.pts * packet.time_base))
            for packet in source.demux(audio=0)
            if packet.size
        ]
    data, there = bytearray(path.read_bytes()), np.ones(len(whole), bool)
    for number in damaged:
        position, size, at = packets[number]
        data[position + 8 : position + size] = bytes(size - 8)
        there[round(at * 16_000) : round(packets[number + 1][2] * 16_000)] = False
    (clips / "pieces-hurt.mkv").write_bytes(data)
    clip = load_clip(clips / "pieces-hurt.mkv")
    said = "1 damaged piece of sound" if len(damaged) == 1 else "2 damaged pieces of sound"
    assert f"{said} replaced by silence" in clip.notes
    assert len(clip.audio.waveform) == len(whole)
    near = np.convolve(~there, np.ones(401), "same") > 0.5  # where the resampler hears the edge
    np.testing.assert_allclose(clip.audio.waveform[there & ~near], whole[there & ~near], atol=1e-3)
    inside = np.convolve(there, np.ones(401), "same") < 0.5
    assert inside.sum() > 500
    assert np.abs(clip.audio.waveform[inside]).max() < 1e-3


def test_one_damaged_piece_does_not_move_what_follows(clips):
    """A packet of AAC is 21 ms: less than what timestamps may differ elsewhere before silence is put in."""
    path = write_clip(clips / "short-pieces.mp4", sound=tone(1.0), sound_codec="aac")
    whole = _hear(path).waveform
    clip = load_clip(write_damaged(clips / "short-pieces-hurt.mp4", path, slice(20, 21), kind="audio"))
    assert "1 damaged piece of sound replaced by silence" in clip.notes
    assert len(clip.audio.waveform) == len(whole)
    np.testing.assert_allclose(clip.audio.waveform[-8_000:], whole[-8_000:], atol=5e-3)


def test_damage_before_the_part_is_not_told_as_damage_in_it(clips):
    """The second before the part is decoded too, for what decoders need of it."""
    path = write_clip(clips / "longer.mp4", sound=tone(4.0), sound_codec="aac")
    hurt = write_damaged(clips / "longer-hurt.mp4", path, slice(61, 62), kind="audio")  # 1.28 to 1.30 s
    loud = tone(4.0)
    loud[0, 60_000:60_010] = np.nan  # at 1.25 s
    wrong = write_clip(clips / "wrong.mkv", sound=loud, sound_codec="pcm_f32le")

    def said(file, start_s):
        return any("replaced by silence" in note for note in load_clip(file, start_s=start_s).notes)

    assert [said(hurt, start_s) for start_s in (1.0, 1.29, 1.31, 1.6)] == [True, True, False, False]
    assert [said(wrong, start_s) for start_s in (1.0, 1.25, 1.6)] == [True, True, False]


def test_sound_that_cannot_be_decoded_is_said(clips):
    path = write_clip(clips / "whole.mkv", sound=tone(0.5), sound_codec="flac")
    hurt = write_damaged(clips / "hurt.mkv", path, kind="audio", begin=8)
    with pytest.raises(MediaError, match=r"hurt\.mkv: its sound \(flac\) cannot be decoded"):
        load_clip(hurt)


@pytest.mark.parametrize(("first", "second"), [(48_000, 24_000), (22_050, 44_100)])
def test_raw_sound_may_change_its_rate(clips, first, second):
    """As a radio recording does; FFmpeg times all of it by the first rate."""
    path = clips / f"{first}-{second}.aac"
    with path.open("wb") as whole:
        for rate, hertz in ((first, 440), (second, 880)):
            part = clips / f"rate{rate}-{hertz}.aac"
            sound = tone(3.0, rate, hertz)
            write_clip(part, sound=sound, sound_rate=rate, sound_codec="aac", container_format="adts")
            whole.write(part.read_bytes())
    assert probe(path).duration_s == pytest.approx(6.0, abs=0.2)
    audio = _hear(path)
    assert audio.seconds == pytest.approx(6.0, abs=0.2)
    for at, hertz in ((1.0, 440), (2.5, 440), (3.5, 880), (5.0, 880)):
        heard = np.abs(np.fft.rfft(audio.waveform[round(at * 16_000) :][:4_000]))
        assert np.argmax(heard) * 4 == pytest.approx(hertz, abs=4)
    late = _hear(path, start_s=5.0, end_s=5.5)
    assert late.seconds == 0.5
    assert np.abs(late.waveform).max() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("number", "rate"), [(0, 96_000), (3, 48_000), (9, 12_000), (10, 11_025), (12, 7_350)])
@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_a_frame_of_raw_aac_says_its_rate_and_its_blocks(number, rate, blocks):
    packet = av.Packet(bytes([0xFF, 0xF1, number << 2, 0, 0, 0, blocks - 1, 0]))
    packet.time_base, packet.duration = Fraction(1, 1000), 10
    assert unsaid_seconds(packet) == pytest.approx(1024 * blocks / rate - 0.01)


def test_cover_art_is_not_video(clips):
    clip = load_clip(write_cover_mp3(clips / "cover.mp3"))
    assert clip.video is None
    assert clip.audio.seconds == pytest.approx(1.0, abs=0.06)
    assert any("no pictures" in note for note in clip.notes)


def test_the_first_of_several_sounds_is_used(clips):
    path = write_clip(clips / "two-sounds.mkv", frames=30, sound=[tone(1.0), np.zeros((1, 48_000), np.float32)])
    clip = load_clip(path)
    assert np.abs(clip.audio.waveform).max() > 0.4
    assert any("2 audio streams" in note for note in clip.notes)


def test_opus_whose_last_samples_have_no_time_of_their_own(clips):
    """Of 8 kbit/s and less the decoder holds some back, and gives them a timestamp in no unit."""
    sound = tone(3.0)
    path = write_clip(clips / "low.mkv", sound=sound, sound_codec="libopus", sound_bit_rate=8_000)
    waveform = load_clip(path).audio.waveform
    assert len(waveform) == 3 * 16_000
    assert np.abs(waveform[1_000:-1_000]).mean() == pytest.approx(np.abs(sound).mean(), rel=0.1)
