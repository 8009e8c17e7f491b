"""Lists of faces and frames: still lists, short to print, one document."""

import json
import pickle

from some_frames import face, frame

from mien.results import Faces, Frame, Frames


def test_faces_are_a_list() -> None:
    faces = Faces([face(), face(score=0.5)], labels=("happy", "sad"))
    assert isinstance(faces, list) and faces == [face(), face(score=0.5)]
    assert faces[1].score == 0.5 and isinstance(faces[:1], Faces) and len(faces[:1]) == 1
    assert faces[:1].labels == ("happy", "sad")
    assert Faces() == [] and not Faces()
    assert pickle.loads(pickle.dumps(faces)) == faces  # noqa: S301


def test_frames_are_a_list_and_a_document() -> None:
    frames = Frames([frame(face(), face()), frame(source="b.png"), frame(face(), source="c.png")])
    assert [one.source for one in frames[1:]] == ["b.png", "c.png"]
    assert isinstance(frames[1:], Frames) and len(frames.faces) == 3
    assert frames.faces.labels == face().labels
    document = json.loads(json.dumps(frames.to_dict()))
    assert document["format"] == "mien.frames/1"
    assert [Frame.from_dict(one) for one in document["frames"]] == frames


def test_reprs_stay_short() -> None:
    assert repr(Frames()) == "Frames([])" and repr(Faces([face()])) == f"Faces([{face()!r}])"
    few, many = Frames([frame(face())] * 2), Frames([frame(face())] * 1234)
    assert repr(few) == f"Frames([\n  {few[0]!r},\n  {few[0]!r},\n])"
    assert repr(many).splitlines()[-2:] == ["  ... 1,224 more", "])"]
    assert len(repr(many).splitlines()) == 13
