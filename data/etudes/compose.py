"""Compose, render and rate the Études: 360 short synthetic pieces with known mid-level qualities.

    python data/etudes/compose.py                 everything: tables, Set1/*.ogg
    python data/etudes/compose.py --tables        the tables alone (numpy and pandas suffice)
    python data/etudes/compose.py --midi scores   the scores as MIDI files, for reading

The corpus is committed, so nobody needs to run this. Rendering needs `pip install soundfile scipy`,
`pip install --no-deps tinysoundfont` and the sound font FluidR3 Mono (MIT; Debian package
fluidr3mono-gm-soundfont); `--midi` needs pretty_midi. These are imported only where they are used.

The order of things: `design` draws what each piece shall be, `compose` writes its notes, `render` plays them,
`listener_model` turns the design into the mean rating of a noiseless listener (the oracle) and `rate` lets
simulated listeners rate it. Nobody has listened: the ratings are SIMULATED and the music is SYNTHESISED.
Notebook: 01
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

FOLDER = Path(__file__).resolve().parent
SOUND_FONT = Path("/usr/share/sounds/sf3/FluidR3Mono_GM.sf3")
SAMPLE_RATE = 22050
SEED = 20251
PIECES = 360

MIDLEVEL = (
    "melodiousness",
    "articulation",
    "rhythmic_complexity",
    "rhythmic_stability",
    "dissonance",
    "tonal_stability",
    "minorness",
)
OUTSIDE = ("tempo", "register", "loudness", "brightness")
EMOTIONS = ("valence", "energy", "tension", "anger", "fear", "happy", "sad", "tender")
STYLES = ("Chorale", "Nocturne", "March", "Dance", "Canon", "Ostinato")
ENSEMBLES = {  # General MIDI programs of melody, chords, bass; chosen for short releases, so that staccato is heard
    "Strings": (40, 41, 42),
    "Winds": (73, 71, 70),
    "Brass": (56, 60, 58),
    "Piano": (0, 0, 0),
    "Organ": (16, 16, 32),
    "Accordion": (22, 21, 32),
}

# --- the listener model ----------------------------------------------------------------------------------------
# Weights on qualities recoded from [0, 1] to [-1, 1]. The signs follow the reviews cited in README.md, the sizes are
# this corpus's own choice. 0 means that we found no agreed sign, not that there is no effect.
# fmt: off
WEIGHTS = pd.DataFrame(
    {  #          melod.  artic.  r.comp.  r.stab.  disson.  tonal.  minor.
        "valence": (0.5,   0.0,    0.0,     0.3,     -0.9,    0.4,   -0.9),
        "energy":  (0.0,   0.8,    0.9,     0.5,      0.4,    0.0,    0.0),
        "tension": (-0.4,  0.0,    0.5,     -0.4,     0.9,    -0.6,   0.4),
        "anger":   (-0.5,  0.4,    0.6,     0.0,      0.9,    -0.4,   0.4),
        "fear":    (-0.4,  0.3,    0.3,     -0.7,     0.7,    -0.6,   0.5),
        "happy":   (0.5,   0.6,    0.0,     0.5,      -0.6,   0.3,    -0.9),
        "sad":     (0.3,   -0.8,   -0.4,    -0.3,     0.0,    0.0,    0.9),
        "tender":  (0.6,   -0.8,   -0.5,    0.0,      -0.8,   0.3,    -0.3),
    }, index=list(MIDLEVEL)).T
OUTSIDE_WEIGHTS = pd.DataFrame(
    {  #            tempo  register  loudness  brightness
        "valence": (0.4,   0.4,     -0.4,     0.0),
        "energy":  (0.9,   0.0,     0.8,      0.5),
        "tension": (0.6,   0.0,     0.8,      0.4),
        "anger":   (0.5,   0.0,     0.9,      0.7),
        "fear":    (0.6,   0.5,     -0.4,     0.0),
        "happy":   (0.9,   0.5,     0.0,      0.4),
        "sad":     (-0.9,  -0.4,    -0.6,     -0.4),
        "tender":  (-0.7,  0.0,     -0.8,     -0.6),
    }, index=list(OUTSIDE)).T
# fmt: on
# minorness x tempo: fast music in minor is less sad and angrier than the sum of the two says, and less happy.
INTERACTION = pd.Series({"anger": 0.3, "sad": -0.3, "happy": -0.3}).reindex(EMOTIONS, fill_value=0.0)
MEAN_RATING = pd.Series({"valence": 5.0, "energy": 5.0, "tension": 5.0}).reindex(EMOTIONS, fill_value=4.2)
SPREAD_OF_ORACLE = 1.2  # standard deviation over pieces on the 1..9 scale
PANEL, RATERS = 116, 12  # listeners in all (as many as rated Soundtracks) and per piece
LISTENER_BIAS, LISTENER_RESIDUAL = 0.75, 2.1  # standard deviations on the 1..9 scale


def outside_causes(truth: pd.DataFrame) -> pd.DataFrame:
    """What each rating owes to tempo, register, loudness, brightness and minorness x tempo, before scaling."""
    recoded = 2 * truth[list(OUTSIDE)] - 1
    mode_by_tempo = (2 * truth["minorness"] - 1) * recoded["tempo"]
    return recoded @ OUTSIDE_WEIGHTS.T + np.outer(mode_by_tempo, INTERACTION)


def listener_model(truth: pd.DataFrame, outside_share: float = 0.25) -> pd.DataFrame:
    """Mean rating of a noiseless listener: the oracle, (pieces, 8) on the 1..9 scale.

    Linear in the seven qualities and in the causes outside them, as Eerola, Friberg & Bresin (2013) found cues to
    combine, with one mild interaction. The two parts are scaled, per emotion, so that the outside part holds
    `outside_share` of the explained variance: var(outside) / (var(inside) + var(outside)).
    """
    if not 0 <= outside_share < 1:
        raise ValueError(f"outside_share must lie in [0, 1), not {outside_share}")
    inside = (2 * truth[list(MIDLEVEL)] - 1) @ WEIGHTS.T
    outside = outside_causes(truth)
    explained = (
        np.sqrt(1 - outside_share) * (inside - inside.mean()) / inside.std()
        + np.sqrt(outside_share) * (outside - outside.mean()) / outside.std()
    )
    return (MEAN_RATING + SPREAD_OF_ORACLE * explained / explained.std())[list(EMOTIONS)]


def rate(oracle: pd.DataFrame, seed: int = SEED) -> pd.DataFrame:
    """Mean of `RATERS` simulated listeners, each with a bias per emotion and a fresh residual, limited to 1..9."""
    rng = np.random.default_rng([seed, 2])
    bias = rng.normal(0, LISTENER_BIAS, (PANEL, len(EMOTIONS)))
    ratings = np.empty(oracle.shape)
    for row, wanted in enumerate(oracle.to_numpy()):
        raters = rng.choice(PANEL, RATERS, replace=False)
        residual = rng.normal(0, LISTENER_RESIDUAL, (RATERS, len(EMOTIONS)))
        ratings[row] = np.clip(wanted + bias[raters] + residual, 1, 9).mean(axis=0)
    return pd.DataFrame(ratings, columns=oracle.columns, index=oracle.index).round(2)


# --- the design ------------------------------------------------------------------------------------------------
# What goes together in a piece: loadings on two factors inside (harmony at ease, rhythm at work) and one outside
# (intensity). Real music has such factors too; their sizes are this corpus's own choice.
# fmt: off
LOADINGS = pd.DataFrame(
    {  #                      ease  activity  intensity
        "melodiousness":       (0.8,  -0.2,  0.0),
        "articulation":        (0.0,  0.85,  0.0),
        "rhythmic_complexity": (-0.1, 0.85,  0.0),
        "rhythmic_stability":  (0.65, -0.2,  0.0),
        "dissonance":          (-0.9, 0.1,   0.0),
        "tonal_stability":     (0.9,  -0.1,  0.0),
        "minorness":           (-0.7, -0.1,  0.0),
        "tempo":               (0.0,  0.0,   0.7),
        "register":            (0.0,  0.0,   0.3),
        "loudness":            (0.0,  0.0,   0.8),
        "brightness":          (0.0,  0.0,   0.7),
    }, index=["ease", "activity", "intensity"]).T
# fmt: on


def correlations() -> pd.DataFrame:
    """Wanted rank correlations of the causes; those inside the seven and those outside are independent."""
    wanted = LOADINGS.to_numpy() @ LOADINGS.to_numpy().T
    np.fill_diagonal(wanted, 1.0)
    return pd.DataFrame(wanted, index=LOADINGS.index, columns=LOADINGS.index)


def design(pieces: int = PIECES, seed: int = SEED) -> pd.DataFrame:
    """What each piece shall be: a Latin hypercube over qualities and outside causes, and style x ensemble, shuffled.

    Every column holds each of `pieces` equal steps of [0, 1] once; the columns' rank correlations are those of
    `correlations` (Iman & Conover 1982).
    """
    rng = np.random.default_rng([seed, 1])
    columns = len(MIDLEVEL) + len(OUTSIDE)
    scores = rng.normal(size=(pieces, columns))
    mix = np.linalg.cholesky(correlations().to_numpy())
    for _ in range(3):  # ranking disturbs the correlations a little
        whiten = np.linalg.inv(np.linalg.cholesky(np.corrcoef(scores.T)))
        scores = (scores - scores.mean(axis=0)) / scores.std(axis=0) @ whiten.T @ mix.T
        ranks = scores.argsort(axis=0).argsort(axis=0)
        scores = np.sqrt(12) * ((ranks + 0.5) / pieces - 0.5)
    cube = (ranks + rng.random((pieces, columns))) / pieces
    truth = pd.DataFrame(cube.round(4), columns=[*MIDLEVEL, *OUTSIDE])
    groups = [(style, ensemble) for style in STYLES for ensemble in ENSEMBLES]
    order = rng.permutation(pieces)
    truth["style"] = [groups[k % len(groups)][0] for k in order]
    truth["ensemble"] = [groups[k % len(groups)][1] for k in order]
    truth["seconds"] = rng.uniform(10.8, 12.8, pieces).round(2)
    truth["seed"] = seed * 1000 + np.arange(1, pieces + 1)
    truth.insert(0, "number", [f"{k:03d}" for k in range(1, pieces + 1)])
    return truth


# --- the score -------------------------------------------------------------------------------------------------
class Note(NamedTuple):
    """One note: seconds, MIDI pitch and velocity, and the part that plays it."""

    start: float
    end: float
    pitch: int
    velocity: int
    part: str  # melody, chords, bass, clash (chords' instrument, detuned) or drums


MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
TONICS = (0, 7)  # C, G: few keys, so that 288 training clips can teach the mode
PROGRESSION = (0, 5, 7, 0, 5, 0, 7, 0)  # I IV V: in minor all three are minor chords, so mode is a share of chords
CLASHES = (1, 6, 11, 13, 14, 18)  # over the root: seconds, tritones, major seventh (the third stays clear)


def evenly(count: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """`count` booleans, True for `share` of them, spread so that any stretch holds about the same share."""
    golden = (np.sqrt(5) - 1) / 2
    return (np.arange(count) * golden + rng.random()) % 1 < share


def near(pitch_class: int, centre: float) -> int:
    """The MIDI pitch of a pitch class that lies nearest to a centre."""
    return int(pitch_class + 12 * np.round((centre - pitch_class) / 12))


def onsets(bars: int, on_beat: list[int], complexity: float, cycle: int, rng: np.random.Generator) -> np.ndarray:
    """Onsets of one part in sixteenths: plain beats at complexity 0; dense, syncopated, cross-rhythmic at 1."""
    chosen: list[int] = []
    crossed = evenly(bars, 1.3 * complexity - 0.3, rng)
    for k in range(16 * bars):
        plain = 1 - 0.4 * complexity if k % 16 in on_beat else (1.0 if k % 4 == 2 else 0.85) * complexity**1.3
        layered = 1.0 if k % cycle == 0 else 0.6 * complexity  # beats every 3 or 5 sixteenths, against the metre
        if rng.random() < (layered if crossed[k // 16] else plain):
            chosen.append(k)
    return np.array(chosen) if chosen else np.arange(0, 16 * bars, 4)


def beat_times(piece: pd.Series, beats: int, rng: np.random.Generator) -> np.ndarray:
    """Seconds of every sixteenth: metronomic at stability 1, beats of very unequal length at 0."""
    beat = 60 / (64 * 2.2 ** piece["tempo"])  # 64..141 beats a minute
    unstable = 1 - piece["rhythmic_stability"]
    lengths = beat * np.exp(0.5 * unstable * rng.uniform(-1.6, 1.6, beats) - 0.1 * unstable)
    at_beats = np.concatenate([[0], np.cumsum(lengths)])
    return np.interp(np.arange(4 * beats + 1) / 4, np.arange(beats + 1), at_beats)


def compose(piece: pd.Series) -> list[Note]:
    """Write one piece from its row of the design. Same row, same notes."""
    rng = np.random.default_rng(int(piece["seed"]))
    melodious, staccato, complexity = piece["melodiousness"], piece["articulation"], piece["rhythmic_complexity"]
    beat = 60 / (64 * 2.2 ** piece["tempo"])
    bars = int(np.ceil((piece["seconds"] / beat * 1.5 + 4) / 4)) + 1
    time = beat_times(piece, 4 * bars, rng)
    jitter = 0.1 * (1 - piece["rhythmic_stability"])  # seconds, per note: chords fall apart
    length = 1.05 * (0.11 / 1.05) ** staccato  # of the time to the part's next onset
    loud = 42 + 62 * piece["loudness"]
    centre = 64 + 15 * piece["register"]
    notes: list[Note] = []

    def play(part: str, position: int, following: int, pitches: list[int], velocity: float) -> None:
        """Add a chord of one part, and above it what clashes."""
        last = len(time) - 1
        start, end = time[min(position, last)], time[min(following, last)]
        seconds = max(0.05, length * min(end - start, 2.2 * beat))
        for pitch in pitches:
            at = max(0.0, start + rng.normal(0, jitter))
            pitch = int(pitch) + 12 * max(0, -((int(pitch) - 28) // 12)) - 12 * max(0, -((103 - int(pitch)) // 12))
            notes.append(Note(at, at + seconds, pitch, int(np.clip(velocity + rng.normal(0, 3), 20, 120)), part))

    # harmony: one chord about every 1.3 s; mode and key wander evenly over the piece
    per_chord = 4 * max(1, round(1.3 / beat))
    chords = 16 * bars // per_chord + 1
    is_minor = evenly(chords, piece["minorness"], rng)
    strays = evenly(chords, 1.15 * (1 - piece["tonal_stability"]) - 0.08, rng)
    home = int(rng.choice(TONICS))
    tonic = np.where(strays, home + rng.choice([1, 2, 3, 4, 6, 8, 9, 10, 11], chords), home) % 12
    root = (tonic + np.array([PROGRESSION[k % 8] for k in range(chords)])) % 12

    def triad(chord: int) -> tuple[int, ...]:
        return int(root[chord]), int(root[chord] + (3 if is_minor[chord] else 4)) % 12, int(root[chord] + 7) % 12

    def point(pitch: int) -> int:
        """Pointillism: without melodiousness, notes fly to far octaves."""
        return pitch + 12 * int(rng.choice([-2, -1, 1, 2])) if rng.random() < 1 - melodious else pitch

    style = piece["style"]
    beats = {"March": [4, 12], "Dance": [2, 6, 10, 14], "Canon": [0, 8]}.get(style, [0, 4, 8, 12])
    accompaniment = loud + 8 - 34 * melodious
    at = onsets(bars, beats, complexity, 3, rng)
    for count, (position, following) in enumerate(zip(at, [*at[1:], at[-1] + 4], strict=True)):
        chord = position // per_chord
        bottom = near(int(root[chord]), centre - 4)  # always root position: the third is on its own
        third = bottom + (3 if is_minor[chord] else 4)
        broken = style in ("Nocturne", "Ostinato") and count % 2
        tones = [third, bottom + 12] if broken else [bottom, third, point(third + 12)]
        play("chords", position, following, tones, accompaniment + 6)
        play("chords", position, following, [point(bottom + 7)], accompaniment - 10)
        clash = [bottom + step for step in CLASHES if rng.random() < 1.25 * piece["dissonance"] - 0.12]
        play("clash", position, following, clash, accompaniment + 16 * piece["dissonance"])

    at = onsets(bars, [0, 8] if style in ("March", "Nocturne", "Canon") else [0, 4, 8, 12], complexity, 5, rng)
    for position, following in zip(at, [*at[1:], at[-1] + 4], strict=True):
        bass = near(int(root[position // per_chord]), centre - 24)
        play("bass", position, following, [bass, bass - 12] if piece["loudness"] > 0.6 else [bass], accompaniment - 6)

    at = onsets(bars, [0, 4, 8, 12, 14] if style == "Dance" else [0, 4, 8, 12], complexity, 3, rng)
    degree = 0.0
    for position, following in zip(at, [*at[1:], at[-1] + 4], strict=True):
        chord = position // per_chord
        scale = MINOR if is_minor[chord] else MAJOR
        stride = rng.choice([-1, 1]) if rng.random() < melodious else rng.normal(0, 7)
        degree += stride - 0.15 * degree
        octave, step = divmod(int(round(degree)), 7)
        pitch = near((tonic[chord] + scale[step]) % 12, centre + 11 + 12 * octave + scale[step])
        if position % 4 == 0:  # chord tones on the beat make the mode plain
            pitch = min((near(tone, pitch) for tone in triad(chord)), key=lambda tone: abs(tone - pitch))
        if rng.random() < 0.3 * (1 - melodious):  # holes in the line
            continue
        pitch = point(pitch)
        line = [pitch, pitch + 12] if piece["loudness"] > 0.75 else [pitch]
        play("melody", position, following, line, loud - 8 + 30 * melodious)
        if rng.random() < 0.7 * piece["dissonance"] - 0.1:
            play("clash", position, following, [pitch + int(rng.choice([-1, 1, 6]))], loud - 4)
        if style == "Canon":  # the same line, half a bar later, below
            play("melody", position + 8, following + 8, [pitch - 12], loud - 16 + 18 * melodious)

    kit = {"March": 37, "Dance": 76, "Ostinato": 76}.get(style, 42)  # side stick, wood block, closed hi-hat
    if style in ("March", "Dance") or complexity > 0.15:  # a complex rhythm has more layers
        at = onsets(bars, [4, 12], complexity, 5, rng)
        for position, following in zip(at, [*at[1:], at[-1] + 4], strict=True):
            play("drums", position, following, [kit], loud - 30 + 26 * complexity)
    return sorted(note for note in notes if note.start < piece["seconds"] - 0.25)


# --- the sound -------------------------------------------------------------------------------------------------
PARTS = ("melody", "chords", "bass", "clash", "drums")


def render(piece: pd.Series, notes: list[Note], synth: object, font: int) -> np.ndarray:
    """Play a score: (samples,) float32 at 22 050 Hz, loudness as level and drive, brightness as a spectral tilt."""
    from scipy.signal import resample_poly

    programs = dict(zip(PARTS, (*ENSEMBLES[piece["ensemble"]], ENSEMBLES[piece["ensemble"]][1], 0), strict=True))
    for channel, part in enumerate(PARTS):
        synth.sounds_off(channel)
        drums = part == "drums"
        synth.program_select(channel, font, 128 if drums else 0, programs[part], drums)
        synth.pitchbend(channel, 8192 + (int(1400 * piece["dissonance"]) if part == "clash" else 0))  # up to 34 cents
    rate = 2 * SAMPLE_RATE
    events = sorted([(int(n.start * rate), 1, n) for n in notes] + [(int(n.end * rate), 0, n) for n in notes])
    step = rate // 50
    depth = 1300 * piece["melodiousness"] ** 2  # a singing line has vibrato, up to 32 cents
    total, now, blocks = int(piece["seconds"] * rate), 0, []

    def advance(until: int) -> None:
        nonlocal now
        while now < until:
            synth.pitchbend(0, 8192 + int(depth * np.sin(2 * np.pi * 5.7 * now / rate)))
            size = min(step - now % step, until - now)
            block = np.frombuffer(synth.generate(size), dtype=np.float32).reshape(-1, 2)
            blocks.append(block.mean(axis=1))
            now += size

    for at, begins, note in events:
        advance(min(at, total))
        channel = PARTS.index(note.part)
        if begins:
            synth.noteon(channel, note.pitch, note.velocity)
        else:
            synth.noteoff(channel, note.pitch)
    advance(total)
    sound = resample_poly(np.concatenate(blocks), 1, 2)
    spectrum = np.fft.rfft(sound)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE), 250) / 700)
    tilt = -4 + 7 * piece["brightness"]  # dB per octave
    sound = np.fft.irfft(spectrum * 10 ** (np.clip(tilt * octaves, -30, 14) / 20), len(sound))
    drive = 0.6 + 2.4 * piece["loudness"]  # loud playing is also denser
    sound = np.tanh(drive * sound / np.abs(sound).max())
    fade = int(0.15 * SAMPLE_RATE)
    sound[-fade:] *= np.linspace(1, 0, fade)
    level = 0.6 * 10 ** (-14 * (1 - piece["loudness"]) / 20)  # peaks from -18.4 to -4.4 dB: Vorbis overshoots
    return (level * sound / np.abs(sound).max()).astype(np.float32)


def write_audio(truth: pd.DataFrame, folder: Path, quality: float = 0.2) -> None:
    """Render every piece to `folder`/Set1/<number>.ogg (Vorbis, mono).

    One synthesiser plays all of them in order and its state runs on: the same order gives the same samples.
    """
    import soundfile
    import tinysoundfont

    synth = tinysoundfont.Synth(samplerate=2 * SAMPLE_RATE, gain=-12)
    font = synth.sfload(str(SOUND_FONT))
    (folder / "Set1").mkdir(parents=True, exist_ok=True)
    for _, piece in truth.iterrows():
        sound = render(piece, compose(piece), synth, font)
        with soundfile.SoundFile(
            folder / "Set1" / f"{piece['number']}.ogg",
            "w",
            SAMPLE_RATE,
            1,
            format="OGG",
            subtype="VORBIS",
            compression_level=1 - quality,
        ) as file:
            for start in range(0, len(sound), 8192):  # long blocks overflow libsndfile's stack
                file.write(sound[start : start + 8192])


def write_midi(truth: pd.DataFrame, folder: Path) -> None:
    """Write every score as a MIDI file (without the detuning)."""
    import pretty_midi

    folder.mkdir(parents=True, exist_ok=True)
    for _, piece in truth.iterrows():
        score = pretty_midi.PrettyMIDI()
        programs = ENSEMBLES[piece["ensemble"]]
        for part, program in zip(PARTS, (*programs, programs[1], 0), strict=True):
            score.instruments.append(pretty_midi.Instrument(program, is_drum=part == "drums", name=part))
        for note in compose(piece):
            score.instruments[PARTS.index(note.part)].notes.append(
                pretty_midi.Note(note.velocity, note.pitch, note.start, note.end)
            )
        score.write(str(folder / f"{piece['number']}.mid"))


# --- the tables ------------------------------------------------------------------------------------------------
def write_tables(truth: pd.DataFrame, folder: Path, outside_share: float = 0.25, seed: int = SEED) -> None:
    """Write the ratings, the track list and the mid-level tables in the layout of Soundtracks, and truth.csv."""
    oracle = listener_model(truth, outside_share)
    ratings = rate(oracle, seed)
    discrete = ["anger", "fear", "happy", "sad", "tender"]
    ratings["TARGET"] = ratings[discrete].idxmax(axis=1).str.upper()
    ratings.insert(0, "number", truth["number"])
    ratings.to_csv(folder / "mean_ratings_set1.csv", index=False, float_format="%.2f")

    album = truth["style"] + " for " + truth["ensemble"]
    pd.DataFrame(
        {
            "Nro": truth["number"],
            "Emotion": ratings["TARGET"].str.capitalize(),
            "Album name": album,
            "Track": album.groupby(album).cumcount() + 1,
            "Min:Sec": [f"00:00-00:{int(s):02d}" for s in truth["seconds"]],
        }
    ).to_csv(folder / "set1_tracklist.csv", index=False)

    (folder / "midlevel").mkdir(parents=True, exist_ok=True)
    songs = np.arange(1, len(truth) + 1)
    pd.DataFrame({"song id": songs, "Source": "etudes", "ID at file source": truth["number"]}).to_csv(
        folder / "midlevel" / "metadata.csv", index=False, sep=";"
    )
    annotations = (3 + 5 * truth[list(MIDLEVEL)]).round(2)  # as means of many listeners, which stay clear of the ends
    annotations.insert(0, "song_id", songs)
    annotations.to_csv(folder / "midlevel" / "annotations.csv", index=False)

    table = truth.join(oracle.round(4).add_prefix("oracle_"))
    table.to_csv(folder / "truth.csv", index=False)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write (default: beside this file)")
    parser.add_argument("--tables", action="store_true", help="write the tables only")
    parser.add_argument("--midi", type=Path, help="write the scores as MIDI files to this folder, nothing else")
    parser.add_argument("--outside-share", type=float, default=0.25)
    options = parser.parse_args()
    truth = design()
    if options.midi:
        write_midi(truth, options.midi)
        return
    write_tables(truth, options.folder, options.outside_share)
    if not options.tables:
        write_audio(truth, options.folder)


if __name__ == "__main__":
    main()
