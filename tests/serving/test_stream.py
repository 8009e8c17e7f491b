"""Live frames: newest first, followed, smoothed, and a bad one ends nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mien.results import Frame
from mien.serving.limits import Limits


def test_frames_are_numbered_followed_and_smoothed(client: TestClient, drawn: list[bytes]) -> None:
    with client.websocket_connect("/v1/stream?smooth_s=1") as stream:
        found = []
        for number, picture in enumerate(drawn[:3]):
            stream.send_json({"time_s": number / 10})
            stream.send_bytes(picture)
            found.append(stream.receive_json())
    frames = [Frame.from_dict(one) for one in found]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.time_s for frame in frames] == [0, 0.1, 0.2]
    assert [frame.faces[0].track for frame in frames] == [0, 0, 0]
    assert frames[0].faces[0].raw == pytest.approx(frames[0].faces[0].probabilities, abs=1e-6)
    alone = client.post("/v1/faces?faces=whole", content=drawn[2]).json()["faces"][0]
    last = frames[2].faces[0]
    assert last.raw == alone["probabilities"]
    assert last.probabilities != last.raw
    assert [one["mode"] for one in found] == ["fast"] * 3


def test_a_bad_frame_keeps_the_session(client: TestClient, face: bytes) -> None:
    with client.websocket_connect("/v1/stream") as stream:
        for bad in (b"", b"no picture", face[:200]):
            stream.send_bytes(bad)
            answer = stream.receive_json()
            assert answer["faces"] == [] and "expected" in answer["error"]
        for text in ("", "{", "[]", '{"time_s": "1"}', '{"time_s": true}', "[" * 5000):
            stream.send_text(text)
            answer = stream.receive_json()
            assert answer["index"] == 3 and "no time" in answer["error"]
        for number in ("-1", "NaN", "1e10", "1795947598000"):
            stream.send_text(f'{{"time_s": {number}}}')
            assert "in seconds" in stream.receive_json()["error"]
        stream.send_bytes(face)
        answer = stream.receive_json()
        assert len(answer["faces"]) == 1 and answer["index"] == 3 and answer["error"] is None


def test_a_time_may_be_of_day(client: TestClient, face: bytes) -> None:
    with client.websocket_connect("/v1/stream") as stream:
        for time_s in (1_795_947_598.25, 1_795_947_598.5):
            stream.send_json({"time_s": time_s})
            stream.send_bytes(face)
            answer = stream.receive_json()
            assert answer["time_s"] == time_s and answer["faces"][0]["track"] == 0


def test_the_newest_frame_wins(make_client: Callable[..., TestClient], drawn: list[bytes]) -> None:
    client = make_client(limits=Limits(stream_fps=4))
    with client.websocket_connect("/v1/stream?smooth_s=0") as stream:
        for picture in drawn:
            stream.send_bytes(picture)
        found = [stream.receive_json()]
        while found[-1]["index"] < 6:
            found.append(stream.receive_json())
    assert len(found) <= 3
    assert sum(one["skipped"] for one in found) == 7 - len(found)
    alone = client.post("/v1/faces?faces=whole", content=drawn[6]).json()["faces"][0]
    assert found[-1]["faces"][0]["probabilities"] == alone["probabilities"]


def test_streams_are_counted(make_client: Callable[..., TestClient], face: bytes) -> None:
    client = make_client(limits=Limits(max_streams=1))
    with client.websocket_connect("/v1/stream") as first:
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/stream"):
            pass
        first.send_bytes(face)
        assert first.receive_json()["faces"]
    with client.websocket_connect("/v1/stream") as second:
        second.send_bytes(face)
        assert second.receive_json()["faces"]


def test_a_silent_stream_is_closed(make_client: Callable[..., TestClient]) -> None:
    client = make_client(limits=Limits(stream_idle_s=0.2))
    with client.websocket_connect("/v1/stream") as stream:
        assert stream.receive()["type"] == "websocket.close"


@pytest.mark.parametrize(
    "query", ["mode=slow", "smooth_s=-1", "smooth_s=6", "smooth_s=nan", "smoth_s=1"]
)
def test_bad_options_are_refused_before_the_stream_begins(client: TestClient, query: str) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"/v1/stream?{query}"):
        pass
