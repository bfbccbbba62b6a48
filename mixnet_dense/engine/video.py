"""Detect or segment every frame of a video file or a camera."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config

from mixnet_dense.engine.compiling import check_compiler, compile_backbone
from mixnet_dense.errors import InputError
from mixnet_dense.export import fuse, load
from mixnet_dense.export.hosted import is_exported
from mixnet_dense.export.predictor import Predictor, of_model
from mixnet_dense.files import check_writable, written_whole
from mixnet_dense.progress import Progress
from mixnet_dense.weights.load import load_model

SUFFIXES = {".mp4": "mp4v", ".avi": "MJPG"}
"""Video files that can be written, with their codecs."""

_CAMERA_RATE = 25.0  # frames a second, where a camera does not say
_SHARE = 0.5  # of the classes' colours in a segmented frame


def open_predictor(config: Config, checkpoint: str, compiled: bool = False) -> Predictor:
    """A predictor of an exported file, or of a checkpoint's model, fused.

    Args:
        compiled: compile the model, which takes a minute; exported files are compiled already.

    Raises:
        InputError: see `predictor.load`; or there is no C++ compiler to compile with.
    """
    if is_exported(checkpoint):
        return load(checkpoint)
    model = fuse(load_model(config, checkpoint).cpu())
    if compiled:
        check_compiler()
        compile_backbone(model, frozen=True)
    return of_model(model)


def predict_video(predictor: Predictor, source: str, out: str, score: float = 0.3) -> int:
    """Draw what a model finds in each frame, and write the frames as a video.

    The next frame is decoded and the last one is encoded while the model runs. The file is
    written under another name and renamed at the end. A camera runs until Ctrl-C, which ends
    a video file's work too; what is done by then is kept.

    Args:
        source: a video file, or the number of a camera.
        out: file to write, of `SUFFIXES`.
        score: boxes with a lower score are not drawn.

    Returns:
        How many frames were written.

    Raises:
        InputError: the source cannot be read, or the file cannot be written.
    """
    if Path(out).suffix not in SUFFIXES:
        raise InputError(f"--out {out}: must end in {' or '.join(SUFFIXES)} for a video")
    if Path(source).resolve() == Path(out).resolve():
        raise InputError(f"--out {out}: would replace the video itself")
    check_writable(out)
    done = 0
    with closing(_Frames(source)) as frames, _written(out, frames) as write:
        progress = frames.count and Progress(frames.count, "frames")
        try:
            for frame in frames:
                write(draw(frame, predictor, score))
                done += 1
                if progress:
                    progress.step()
        except KeyboardInterrupt:
            print(f"\nstopped after {done} frames")
    return done


class _Frames:
    """The frames (H, W, 3) uint8, BGR, of a video; one is decoded ahead."""

    def __init__(self, source: str):
        if not source.isdigit() and not Path(source).is_file():
            raise InputError(f"{source}: is no file")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: the error says it
        self._video = cv2.VideoCapture(int(source) if source.isdigit() else source)
        self._pool = ThreadPoolExecutor(1)
        self._first, self.image = self._video.read()
        if not self._first:
            raise InputError(f"{source}: cannot be read as a video")
        camera = source.isdigit()
        self.count = 0 if camera else max(0, int(self._video.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.rate = self._video.get(cv2.CAP_PROP_FPS) or _CAMERA_RATE

    def __iter__(self) -> Iterator[np.ndarray]:
        good, image = self._first, self.image
        while good:
            following = self._pool.submit(self._video.read)
            yield image
            good, image = following.result()

    def close(self) -> None:
        self._pool.shutdown()
        self._video.release()


@contextmanager
def _written(out: str, frames: _Frames) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that encodes a frame beside other work."""
    path = Path(out)
    codec = cv2.VideoWriter_fourcc(*SUFFIXES[path.suffix])
    with written_whole(path) as partial:
        writer = cv2.VideoWriter(str(partial), codec, frames.rate, frames.image.shape[1::-1])
        try:
            if not writer.isOpened():
                raise InputError(f"--out {out}: OpenCV has no encoder for {path.suffix} here")
            with ThreadPoolExecutor(1) as pool:
                last = pool.submit(bool)

                def write(frame: np.ndarray) -> None:
                    nonlocal last
                    last.result()  # at most one frame waits
                    last = pool.submit(writer.write, frame)

                yield write
        finally:
            writer.release()


def draw(frame: np.ndarray, predictor: Predictor, score: float) -> np.ndarray:
    """A copy of a frame (H, W, 3), BGR, with boxes and names, or with the classes' colours."""
    found, about = predictor(frame), predictor.about
    if about.task == "segmentation":
        colours = _colours(about)[found.numpy()]
        return cv2.addWeighted(frame, 1 - _SHARE, colours, _SHARE, 0)
    frame, colours = frame.copy(), _colours(about).tolist()
    for box, confidence, label in zip(found.bboxes, found.scores, found.labels, strict=True):
        if confidence >= score:
            text = f"{about.classes[label]} {confidence:.2f}"
            _draw_box(frame, box.round().int().tolist(), text, colours[label])
    return frame


def _draw_box(frame: np.ndarray, box: list[int], text: str, colour: list[int]) -> None:
    left, top, right, bottom = box
    cv2.rectangle(frame, (left, top), (right, bottom), colour, 2)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    top = max(top, height + 6)
    cv2.rectangle(frame, (left, top - height - 6), (left + width + 4, top), colour, cv2.FILLED)
    place, dark = (left + 2, top - 4), sum(colour) < 380
    ink = (255, 255, 255) if dark else (0, 0, 0)
    cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, ink, 1, cv2.LINE_AA)


def _colours(about) -> np.ndarray:
    """BGR colours (classes, 3) uint8: the palette's, else hues that are far apart."""
    if about.palette and len(about.palette) == len(about.classes):
        return np.uint8(about.palette)[:, ::-1]
    hues = np.arange(len(about.classes)) * 111 % 180  # neighbours differ by 69 of OpenCV's degrees
    hsv = np.stack([hues, np.full_like(hues, 200), np.full_like(hues, 235)], -1)
    return cv2.cvtColor(np.uint8(hsv[None]), cv2.COLOR_HSV2BGR)[0]
