"""Videos through a predictor: every frame, in order, with what was found drawn on it."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from running import tool

from mixnet_dense.engine import video
from mixnet_dense.errors import InputError
from mixnet_dense.images import is_video

GREY = 60  # of the first frame; each following one is 20 brighter


@pytest.fixture
def clip(tmp_path):
    """Five grey frames of 96 x 64, each brighter than the one before."""
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64)
    )
    for index in range(5):
        writer.write(np.full((64, 96, 3), GREY + 20 * index, np.uint8))
    writer.release()
    return tmp_path / "clip.avi"


def frames(path):
    reader = cv2.VideoCapture(str(path))
    return [frame for _, frame in iter(reader.read, (False, None))]


class Finder:
    """Finds class 1 in the same place of every frame, once with a low score."""

    about = SimpleNamespace(
        task="detection", classes=("coin", "key"), palette=[(0, 0, 0), (255, 0, 0)]
    )

    def __call__(self, frame):
        boxes = torch.tensor([[20.0, 30, 60, 50], [70, 30, 90, 50]])
        return InstanceData(
            bboxes=boxes, scores=torch.tensor([0.9, 0.1]), labels=torch.tensor([1, 1])
        )


class Halves(Finder):
    about = SimpleNamespace(
        task="segmentation", classes=("a", "b"), palette=[(0, 0, 0), (0, 0, 255)]
    )

    def __call__(self, frame):
        return (torch.arange(96) >= 48).byte().expand(64, 96)


def test_every_frame_is_drawn_in_order(clip, tmp_path, capsys):
    out = tmp_path / "found.avi"
    assert video.predict_video(Finder(), str(clip), str(out)) == 5
    found = frames(out)
    assert [round(frame[5, 90].mean() / 20) for frame in found] == [3, 4, 5, 6, 7]
    for frame in found:
        blue, green, red = frame[50, 40].astype(int)  # the box's lower edge, red
        assert red > blue + 80 and red > green + 80
    assert np.ptp(found[0][50, 80]) < 20  # nothing where the score is low
    assert "5/5 frames" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"clip.avi", "found.avi"}


def test_segmented_frame_has_the_colours_of_its_classes():
    frame = np.full((64, 96, 3), 100, np.uint8)
    found = video.draw(frame, Halves(), 0.3)
    assert found[10, 10].tolist() == [50, 50, 50]  # half of the frame, half of black
    assert found[10, 80].tolist() == [178, 50, 50]  # half of blue, BGR
    assert frame.min() == 100


@pytest.mark.parametrize("stopped", [True, False])
def test_interrupted_video_keeps_its_frames_and_a_broken_one_nothing(clip, tmp_path, stopped):
    class Ends(Finder):
        left = 3

        def __call__(self, frame):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt if stopped else RuntimeError("out of memory")
            return super().__call__(frame)

    out = tmp_path / "found.avi"
    if stopped:
        assert video.predict_video(Ends(), str(clip), str(out)) == 3
        assert len(frames(out)) == 3
    else:
        with pytest.raises(RuntimeError, match="out of memory"):
            video.predict_video(Ends(), str(clip), str(out))
        assert {path.name for path in tmp_path.iterdir()} == {"clip.avi"}


def test_bad_video_is_one_line(clip, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    for source, out, message in (
        (tmp_path / "text.mp4", "found.mp4", "cannot be read as a video"),
        (tmp_path / "absent.mp4", "found.mp4", "absent.mp4: is no file"),
        (clip, "found.gif", "must end in .mp4 or .avi"),
        (clip, "clip.avi", "would replace the video itself"),
    ):
        with pytest.raises(InputError, match=message):
            video.predict_video(Finder(), str(source), str(tmp_path / out))
    assert {path.name for path in tmp_path.iterdir()} == {"clip.avi", "text.mp4"}


def test_what_is_a_video():
    assert all(map(is_video, ("0", "clip.MP4", "a/b.webm")))
    assert not any(map(is_video, ("photo.jpg", "photos", "photos/*.png")))


def test_command_detects_in_a_video(clip, detector, tmp_path):
    out = tmp_path / "found.mp4"
    model = (detector / "detector.py", detector / "work")
    tool("predict")(*model, clip, "--out", out, "--score", "0")
    assert len(frames(out)) == 5
    with pytest.raises(InputError, match="goes alone"):
        tool("predict")(*model, clip, clip, "--out", out)
