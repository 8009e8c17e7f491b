"""Device mode: nothing is sent, the server may be dead, and the answers are the library's."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from browsing import ROOT, Page, Server
from page_pictures import FORMS, astronaut, crowd, encoded, upload
from PIL import Image

import mien
from mien.bundle import open_bundle
from mien.bundle.classifier import Classifier
from mien.data.synthetic import draw_faces
from mien.results import Face, Frame
from mien.vision.image import load_image
from mien.vision.preprocess import all_resized

PAGE = ROOT / "mien" / "serving" / "page"
MAX_SIDE = 1280  # what the page asks for by default


def pictures() -> list[tuple[str, bytes]]:
    """(form, file): 105 drawn faces and the astronaut at three sizes, in six formats in turn."""
    made = []
    for i, form in enumerate(FORMS):
        made.append((form, encoded(crowd(15, seed=i), form)))
        made.append((form, encoded(astronaut((160, 512, 1500)[i % 3]), form)))
    made.append(("JPEG", encoded(crowd(15, seed=9), "JPEG")))
    return made


def frames_of(page: Page) -> list[Frame]:
    with page.page.expect_download() as waiting:
        page.page.click('button:has-text("JSON")')
    found = json.loads(waiting.value.path().read_text(encoding="utf-8"))
    return [Frame.from_dict(values) for values in found["frames"]]


def nearest(face: Face, others: tuple[Face, ...]) -> tuple[float, Face]:
    """The other face whose box is nearest, and by how many pixels its edges are off at most."""
    away = [float(np.abs(np.subtract(face.box, other.box)).max()) for other in others]
    return min(away), others[int(np.argmin(away))]


@pytest.mark.parametrize("mode", ["fast", "best"])
def test_answers_are_the_librarys_in_six_formats(page: Page, mode: str) -> None:
    made = pictures() if mode == "fast" else pictures()[:3]
    if mode == "best":
        page.page.click("#open-settings")
        page.page.locator('input[name="mode"][value="best"]').check()
        page.page.keyboard.press("Escape")
    page.add(*(upload(data, form, f"{i}.{form}") for i, (form, data) in enumerate(made)))
    page.expect('.strip [title*=" face"]').to_have_count(len(made), timeout=120_000)
    here = frames_of(page)
    recognizer = mien.load(max_side=MAX_SIDE, num_threads=1, mode=mode)
    assert {frame.prior for frame in here} == {recognizer.prior}
    assert len(here) == len(made)
    differences, checked = [], 0
    for (form, data), frame in zip(made, here, strict=True):
        expected = recognizer.faces_in(load_image(data))
        assert len(frame.faces) == len(expected), form
        for face in expected:
            off, other = nearest(face, frame.faces)
            assert off < 0.05, form
            p, q = np.array(list(values(face))), np.array(list(values(other)))
            differences.append(float(np.abs(p - q).max()))
            top = np.sort(p)[::-1]
            assert other.label == face.label or top[0] - top[1] < 0.01
            assert other.quality.size_px == pytest.approx(face.quality.size_px, abs=0.1)
            assert other.quality.sharpness == pytest.approx(face.quality.sharpness, rel=0.02)
            checked += 1
    assert checked >= (100 if mode == "fast" else 15)
    # A pixel of a crop that rounds otherwise moves a probability by up to 2e-3.
    assert np.mean(np.array(differences) <= 1e-3) >= 0.97
    assert max(differences) <= 5e-3


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_of_several_frames_the_first_is_read_and_said_so(page: Page, form: str) -> None:
    """On the device, on the server and in the library alike."""
    held = io.BytesIO()
    first, *others = [Image.fromarray(crowd(2, seed=seed)) for seed in (0, 1, 2)]
    first.save(held, form, save_all=True, append_images=others)
    page.add(upload(encoded(crowd(1))))  # the strip is there from the second picture on
    for num, place in enumerate(("device", "server"), 2):
        page.choose_place(place)
        page.add(upload(held.getvalue(), form))
        page.expect('.strip [title*=" face"]').to_have_count(num, timeout=30_000)
    notes = [frame.note for frame in frames_of(page)[1:]]
    assert notes == [mien.load()(held.getvalue()).note] * 2
    assert notes[0] == f"first of {'several' if form == 'PNG' else 3} frames"


LOGITS = """async (text) => {
  const ort = await import("/vendor/ort/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = new URL("/vendor/ort/", location.href).href;
  ort.env.wasm.numThreads = 1;
  const { logits } = await import("/recognize/classify.mjs");
  const model = await (await fetch("/v1/model/device")).json();
  const network = await (await fetch("/v1/model/model.onnx")).arrayBuffer();
  const made = { executionProviders: ["wasm"] };
  const session = await ort.InferenceSession.create(new Uint8Array(network), made);
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const num = model.input.side ** 2;
  const crop = (_, i) => bytes.subarray(i * num, (i + 1) * num);
  return logits(ort, session, Array.from({ length: bytes.length / num }, crop), model);
}"""


def test_logits_of_equal_crops_are_the_librarys(page: Page) -> None:
    bundle = open_bundle("shipped")
    crops = all_resized(draw_faces(np.arange(105) % 7, seed=2), bundle.side)
    there = Classifier(bundle, num_threads=1).logits(crops)
    here = page.page.evaluate(LOGITS, base64.b64encode(crops.tobytes()).decode())
    assert sorted(here) == sorted(there) and len(crops) == 105
    for name, expected in there.items():
        np.testing.assert_allclose(here[name], expected, rtol=0, atol=1e-5)


def values(face: Face) -> list[float]:
    raw = face.to_dict()["probabilities"]
    return list(raw.values())


def test_nothing_is_sent(page: Page) -> None:
    asked = len(page.requests)
    page.add(*(upload(encoded(crowd(3, seed=seed))) for seed in range(3)))
    page.expect('.strip [title*=" faces"]').to_have_count(3)
    later = [url for _, url in page.requests[asked:] if not url.startswith("blob:")]
    assert later == []
    page.expect("#sent").to_have_text("0 pictures sent")


def test_on_the_server_each_picture_is_counted(page: Page) -> None:
    page.choose_place("server")
    page.add(*(upload(encoded(crowd(2, seed=seed))) for seed in range(2)))
    page.expect('.strip [title*=" faces"]').to_have_count(2)
    page.expect("#sent").to_have_text("2 pictures sent")
    posts = [url for method, url in page.requests if method == "POST"]
    assert len(posts) == 2


def test_a_reload_works_with_the_server_dead(
    new_server: Callable[..., Server], new_page: Callable[..., Page]
) -> None:
    server = new_server()
    page = new_page(server.url)
    page.ready()
    active = "navigator.serviceWorker.ready.then((found) => found.active.state)"
    assert page.page.evaluate(active) in ("activating", "activated")
    server.stop()
    page.page.reload()
    page.ready()
    page.add(upload(encoded(astronaut())))
    page.expect(".face").to_have_count(1)
    page.expect("#sent").to_have_text("0 pictures sent")


def test_the_service_worker_keeps_every_file_of_the_page() -> None:
    kept = (PAGE / "sw.js").read_text(encoding="utf-8")
    files = [
        path.relative_to(PAGE).as_posix()
        for path in sorted(PAGE.rglob("*"))
        if path.is_file()
        and "vendor" not in path.parts
        and "api" not in path.parts  # of no use without the server
        and path.name not in ("index.html", "sw.js")
    ]
    assert len(files) > 30
    assert [name for name in files if f'"{name}"' not in kept] == []


def changed(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Any], None]:
    """A route that answers as the server does, but for a change."""

    def route(handled: Any) -> None:
        answer = handled.fetch()
        document = answer.json()
        change(document)
        handled.fulfill(response=answer, json=document)

    return route


def broken(new_page: Callable[..., Page], server: Server, pattern: str, route: Any) -> Page:
    page = new_page("about:blank", service_workers="block")
    page.page.route(pattern, route)
    page.page.goto(server.url)
    return page


def test_a_failed_golden_offers_the_server(new_page: Callable[..., Page], server: Server) -> None:
    def other(document: dict[str, Any]) -> None:
        first = next(iter(document["golden"]["logits"].values()))
        first[0] = first[0][::-1]

    page = broken(new_page, server, "**/v1/model/device", changed("device", other))
    page.expect("#banner-device").to_contain_text("self-test failed")
    page.page.click('#banner-device button:has-text("Use the server")')
    page.add(upload(encoded(astronaut(256))))
    page.expect(".face").to_have_count(1)


def test_a_browser_that_changes_pixels_is_noticed(
    new_page: Callable[..., Page], server: Server
) -> None:
    noisy = np.asarray(load_image((PAGE / "check.png").read_bytes())).copy()
    noisy[3, 4, 1] ^= 1
    route = lambda handled: handled.fulfill(body=encoded(noisy), content_type=("image/png"))  # noqa: E731
    page = broken(new_page, server, "**/check.png", route)
    page.expect("#banner-device").to_contain_text("changes the pixels")


def test_a_build_without_the_runtime_says_how_to_add_it(
    new_page: Callable[..., Page], server: Server
) -> None:
    route = changed("device", lambda document: document.update(missing="Run make vendor."))
    page = broken(new_page, server, "**/v1/model/device", route)
    page.expect("#banner-missing").to_contain_text("not in this build")
    page.expect('[name="place"][value="device"]').to_be_disabled()
    page.expect('[name="place"][value="server"]').to_be_checked()
    page.add(upload(encoded(astronaut(256))))
    page.expect(".face").to_have_count(1)


def test_a_server_with_a_token_is_asked_with_it(
    new_server: Callable[..., Server], new_page: Callable[..., Page]
) -> None:
    server = new_server("--token", "open-sesame-0123456789")
    page = new_page(server.url)
    page.expect("#banner-token").to_contain_text("asks for a token")
    page.page.fill("#token", "something-else-0123456789")
    page.page.keyboard.press("Enter")
    page.expect("#banner-token").to_contain_text("not the token")
    page.expect('#banner-token button:has-text("Close")').to_have_count(0)
    page.page.fill("#token", "open-sesame-0123456789")
    page.page.keyboard.press("Enter")
    page.ready()
    page.choose_place("server")
    page.add(upload(encoded(astronaut(256))))
    page.expect(".face").to_have_count(1)
    assert "open-sesame-0123456789" not in page.page.evaluate("JSON.stringify({...localStorage})")
