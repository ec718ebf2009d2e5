"""A computed photograph: mountains behind mountains, a lake, and the sun in the haze."""

import numpy as np
from PIL import Image

SCALE = 4  # the scene is made of so much fewer pixels each way; the grain of the film is as fine as the photograph


def landscape(width: int, height: int, seed: int = 8) -> np.ndarray:
    """Make a photograph of height x width pixels with three bytes each."""
    random = np.random.default_rng(seed)
    scene = Image.fromarray(compose(random, -(-width // SCALE), -(-height // SCALE)))
    photograph = np.asarray(scene.resize((width, height), Image.Resampling.BICUBIC)).astype("i2")
    photograph += random.integers(-8, 9, photograph.shape, dtype="i1")
    return np.clip(photograph, 0, 255).astype("u1")


def compose(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    sun = np.exp(-6 * np.hypot((across - 0.68) * width / height, down - 0.3))
    clouds = np.clip(noise(random, height, width, 1.7) - 0.45, 0, 1) * (1 - down)
    scene = blend([70, 120, 190], [250, 215, 180], np.clip(1.6 * down, 0, 1))
    scene += sun[..., None] * [150.0, 110.0, 40.0] + clouds[..., None] * [220.0, 200.0, 190.0]

    texture = noise(random, height, width, 1.0)
    for layer, far in enumerate(np.linspace(1, 0, 6)):
        ridge = 0.68 - 0.30 * far + (0.20 + 0.24 * far) * (noise(random, 1, width, 1.6)[0] - 0.5)
        shade = np.clip(0.2 + 4 * (np.roll(texture, 97 * layer, axis=1) - 0.35), 0.1, 1.8)
        rock = blend([40, 70, 30], [110, 85, 60], texture) * shade[..., None]
        hazy = blend(rock, [215, 195, 190], np.full((height, width), 0.85 * far + 0.05))
        scene = np.where((down > ridge)[..., None], hazy, scene)

    shore = height * 3 // 4
    mirrored = scene[2 * shore - height : shore][::-1]
    waves = (noise(random, height - shore, width, 1.1) - 0.5) * 120
    scene[shore:] = blend(mirrored, [30, 60, 90], np.full(mirrored.shape[:2], 0.35)) + waves[..., None]
    return np.clip(scene, 0, 255).astype("u1")


def noise(random: np.random.Generator, height: int, width: int, roughness: float) -> np.ndarray:
    """Make values from 0 to 1 that look like clouds, or like rock: waves of all lengths, long ones highest."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None, :] * width)
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(random.normal(size=(height, width))) / frequency**roughness
    values = np.fft.irfft2(waves, s=(height, width))
    return (values - values.min()) / max(np.ptp(values), 1e-9)


def blend(first: object, second: object, part: np.ndarray) -> np.ndarray:
    """Mix two colours, or pictures: all of the first where part is 0, all of the second where it is 1."""
    return np.asarray(first) * (1 - part[..., None]) + np.asarray(second) * part[..., None]
