"""Draw faces: from brow, lid and mouth positions to pixels.

A face is painted back to front, many at once, in float32 (`mien.data.face_canvas`).
"""

from __future__ import annotations

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.face_canvas import Canvas, EyeSide, elliptic_radius


class Painter(Canvas):
    """Paints several faces at once, back to front."""

    def paint(self) -> np.ndarray:
        """uint8 (N, 48, 48)."""
        self._background()
        self._head()
        self._nose()
        self._mouth()
        self._beard()
        for side in self._sides():
            self._eye(side)
            self._brow(side)
        self._glasses()
        self._light()
        self._hide()
        return self._photograph()

    def _background(self) -> None:
        level, slope, direction = self._span(25, 225), self._span(0, 1.6), self._span(0, 6.28)
        self.image[:] = (
            level
            + (slope * np.cos(direction)) * self.screen_x
            + (slope * np.sin(direction)) * self.screen_y
        )
        # Behind the head: a door frame, a shelf, a horizon.
        edge, tone = self._span(-22, 22), self._span(20, 230)
        upright, side = self._chance(0.5), self._sign()
        across = (side * upright) * self.screen_x + (side * (1 - upright)) * self.screen_y
        self._fill(across - side * edge, tone, slice(None), opacity=0.6)

    def _head(self) -> None:
        u, v = self.u, self.v
        self.skin, self.hair = self._span(95, 215), self._span(12, 150)
        # Hair as light as the skin would hide the head's edge: push the two apart.
        self.hair = np.where(np.abs(self.hair - self.skin) < 35, self.skin - 55, self.hair)
        self.half_width, self.chin = self._span(14.2, 17.6), self._span(18.8, 21.5)
        jaw, long_hair, bald = self._span(0.1, 0.34), self._chance(0.4), self._chance(0.12)
        clothes = self._span(20, 220)
        rows = slice(34, FACE_SIDE)
        shoulders = v[:, rows] - 21.5 - (u[:, rows] * u[:, rows]) * 0.018
        self._fill(shoulders, clothes, rows)
        rows = slice(24, FACE_SIDE)
        neck = np.minimum(self.half_width * 0.55 - np.abs(u[:, rows]), v[:, rows] - 8)
        self._fill(neck, self.skin * 0.72, rows, soft=1.5)
        # Hair behind the head: down to the shoulders or only a cap.
        drop = np.where(long_hair > 0, np.float32(19), np.float32(-2))
        wide = self.half_width + self._span(1.5, 4.0)
        above = np.minimum(v + 3, 0) * np.float32(1 / 21)
        across = u / wide
        back = np.minimum((1 - np.sqrt(across * across + above * above)) * wide, drop - v)
        self._fill(back - bald * 99, self.hair, slice(None))
        rows = slice(10, 38)
        lobe = 1 - elliptic_radius(
            np.abs(u[:, rows] + self.yaw * 6) - self.half_width + 0.3, v[:, rows] - 1, 2.6, 4.2
        )
        self._fill(lobe * 3 - long_hair * 99, self.skin * 0.86, rows)
        # The head: an ellipse above, narrowing to the chin below.
        below = np.clip(v / self.chin, 0, 1)
        width = self.half_width * (1 - jaw * below * below)
        height = np.where(v < 0, np.float32(21), self.chin)
        radius = elliptic_radius(u, v, width, height)
        # Round as a ball: darker towards the edge.
        shade = np.minimum(radius, 1.1)
        shade *= shade
        shade = 1.04 - 0.26 * shade * shade
        self.head = self._fill((1 - radius) * 16, self.skin * shade, slice(None))
        # Hair on the forehead: straight, parted or a fringe; none for bald heads.
        line, part, bend = (
            self._span(-16.5, -12.5),
            self._span(-0.35, 0.35),
            self._span(-0.012, 0.03),
        )
        rows = slice(0, 34)
        u, v, radius = u[:, rows], v[:, rows], radius[:, rows]
        temples = np.abs(u) - self.half_width + self._span(0.2, 2.2)
        hairline = np.maximum(line + part * u + bend * u * u - v, np.minimum(temples, 3 - v))
        top = np.minimum(hairline, (1.07 - radius) * 16)
        self._fill(top - bald * 99, self.hair, rows)
        crown = self.image[:, :16]
        streak = np.float32(5) * np.sin(u[:, :16] * self._span(0.6, 1.4) + v[:, :16] * 0.3)
        crown += streak * (1 - bald) * (np.abs(crown - self.hair) < 6)
        self.line = self.skin * self._span(0.28, 0.48)  # the tone of creases and lid lines

    def _nose(self) -> None:
        rows = slice(10, 44)
        u, v = self.u[:, rows], self.v[:, rows]
        x, _ = self._turned(0.0, 23.0)
        tip, wide = (
            self._span(3.6, 5.6) - 0.9 * self.wrinkle + self.pitch * 1.2,
            self._span(2.1, 3.4) + 0.6 * self.wrinkle,
        )
        lit = self._sign()
        # The bridge leans from between the eyes to the tip: a shadow on one side, a light on the
        # other.
        centre = x * np.clip((v + 9) / (tip + 9), 0.2, 1)
        span = np.minimum(v + 6, tip - v)
        self._fill(
            np.minimum(1.0 - np.abs(u - centre - lit * (0.9 + 0.09 * (v + 6))), span),
            self.skin * 0.8,
            rows,
            2.0,
            0.7,
        )
        self._fill(
            np.minimum(0.7 - np.abs(u - centre), span),
            np.minimum(self.skin * 1.16, 250),
            rows,
            2.0,
            0.6,
        )
        n = (u - x) / wide
        self._fill(
            0.75 - np.abs(v - tip - 0.7 + 0.9 * n * n) - 3 * np.maximum(np.abs(n) - 1, 0),
            self.line,
            rows,
            1.2,
            0.75,
        )
        for sign in (-1, 1):
            hole = 1 - elliptic_radius(u - x - sign * wide * 0.52, v - tip - 0.3, 1.1, 0.75)
            self._fill(hole * 0.8, self.line * 0.7, rows, 1.0, 0.8)
        self._creases(x, tip, wide)

    def _creases(self, x: np.ndarray, tip: np.ndarray, wide: np.ndarray) -> None:
        """Wrinkles beside the root of the nose, and the folds from nostril to mouth corner."""
        for sign in (-1, 1):
            rows, some = slice(12, 34), np.flatnonzero(self.wrinkle > 0.1)
            reach = sign * (self.u[some, rows] - x[some] * 0.6) - 1.9
            slant, ends = self.v[some, rows] + 0.7 * reach, 2 * np.maximum(np.abs(reach) - 1.6, 0)
            depth = np.clip(self.wrinkle[some], 0, 1) * np.float32(0.85)
            for height in (-1.6, 0.2, 2.0):
                self._fill(
                    0.6 - np.abs(slant - height) - ends, self.line[some], rows, 1.1, depth, some
                )
            rows, some = slice(18, 46), np.flatnonzero(self.folds > 0.1)
            down = self.v[some, rows] - tip[some]
            along = np.clip((down + 1.5) / 7.5, 0, 1)
            beside = sign * (self.u[some, rows] - x[some] * 0.9) - wide[some] - 0.6
            fold = (
                0.65
                - np.abs(beside - 4 * along * along)
                - 2 * np.maximum(np.abs(down - 2.2) - 3.6, 0)
            )
            self._fill(
                fold,
                self.line[some],
                rows,
                1.6,
                np.clip(self.folds[some], 0, 1) * np.float32(0.7),
                some,
            )

    def _mouth(self) -> None:
        rows = slice(20, FACE_SIDE)
        u, v = self.u[:, rows], self.v[:, rows]
        x, narrow = self._turned(0.0)
        wide = self._span(5.6, 7.2) * self.mouth_width * narrow
        opening, upper_lip = np.maximum(self.opening, 0), np.maximum(self.upper_lip, 0)
        y = self._span(10.2, 12.2) + self.pitch * 0.9 - 0.25 * opening + 0.15 * self.corners
        n = (u - x) / wide
        n2 = n * n
        square = np.clip(self.square, 0, 1)
        bow = 1 - n2 * (
            1 - square + square * n2
        )  # 1 in the middle, 0 at the corners, negative outside
        middle = y - self.corners * (n2 - 0.35) - self.one_corner * n
        raised = upper_lip * (1 - 0.5 * np.minimum(n2, 1))
        top = middle - (0.2 + 0.32 * opening) * bow - raised * 0.55
        bottom = middle + (0.35 + 0.75 * opening) * bow - raised * 0.15
        lip_up, lip_low = self._span(0.7, 1.6), self._span(1.1, 2.3)
        lips = self.skin * self._span(0.58, 0.8)
        edge = np.minimum(v - top + lip_up * bow, bottom + lip_low * bow - v)
        self._fill(edge, lips, rows, 1.2)
        # Below the lower lip lies a soft shadow.
        self._fill(
            1.0 - np.abs(v - bottom - lip_low - 1.3) - 2 * np.maximum(np.abs(n) - 0.6, 0),
            self.skin * 0.8,
            rows,
            2.0,
            0.5,
        )
        gap = self._fill(np.minimum(v - top, bottom - v), self.line * 0.45, rows)
        teeth = np.clip(self.teeth, 0, None)
        inside = np.minimum(np.minimum(v - top - 0.2, top + teeth - v), 0.92 * wide - np.abs(u - x))
        self._fill(inside, 232, rows, 1.0, gap * np.minimum(teeth, 1))
        # An angry or frightened mouth bares the lower teeth too.
        self._fill(
            np.minimum(v - bottom + teeth * 0.8, bottom - 0.2 - v),
            205,
            rows,
            1.0,
            gap * square * np.minimum(teeth, 1),
        )
        self._fill(
            bottom + 0.3 - v - 0.6 * opening + 2.2,
            self.line * 0.95,
            rows,
            2.0,
            gap * 0.45 * (opening > 2.5),
        )
        # The corners themselves: small dark ends that show which way they point.
        corner = (
            0.75 - np.abs(v - middle) - 2 * np.maximum(np.abs(np.abs(n) - 0.93) * wide - 0.9, 0)
        )
        self._fill(corner, self.line, rows, 1.1, 0.8)

    def _beard(self) -> None:
        rows = slice(22, FACE_SIDE)
        beard, moustache = self._some(0.13), self._some(0.1)
        # A beard leaves the mouth free: it starts at the jaw's line.
        around = elliptic_radius(
            self.u[beard, rows], self.v[beard, rows] - 6, self.half_width[beard] * 0.86, 11.2
        )
        jaw = np.minimum((around - 0.86) * 12, self.v[beard, rows] - 5)
        jaw = np.minimum(jaw, (self.head[beard, rows] - 0.5) * 4)
        self._fill(jaw, self.hair[beard], rows, 1.6, 0.8, beard)
        x, _ = self._turned(0.0)
        n = (self.u[moustache, rows] - x[moustache]) / 5.5
        height = 7.6 + self.pitch[moustache] - 0.4 * self.upper_lip[moustache]
        lip = 1.1 - 0.8 * n * n - np.abs(self.v[moustache, rows] - height - 1.2 * n * n)
        self._fill(lip, self.hair[moustache], rows, 1.2, 0.85, moustache)

    def _sides(self) -> list[EyeSide]:
        apart, half = self._span(7.1, 8.7), self._span(3.5, 4.5)
        self.eye_y, self.iris, self.gaze = (
            self._span(-4.2, -2.6),
            self._span(20, 110),
            self._span(-0.9, 0.9),
        )
        self.brow_y, self.brow_thick = self._span(4.6, 5.8), self._span(0.75, 1.6)
        self.rest_lid = self._span(1.55, 2.05)
        sides = []
        for sign in (-1, 1):
            x, narrow = self._turned(sign * apart)
            sides.append(EyeSide(sign, x, half * narrow))
        rows = slice(2, 34)
        u, v = self.u[:, rows], self.v[:, rows]
        root, _ = self._turned(0.0, 21.0)
        # Lines of the forehead, and the frown's two lines between the brows.
        for height in (-14.0, -11.8):
            n = (u - root) / (self.half_width * 0.55)
            line = (
                0.5
                - np.abs(v - height + 0.6 * self.brow_up + self.pitch * -0.6 - n * n)
                - 3 * np.maximum(np.abs(n) - 1, 0)
            )
            self._fill(line, self.line, rows, 1.3, np.clip(self.forehead, 0, 1) * 0.5)
        for sign in (-1, 1):
            line = 0.55 - np.abs(u - root - sign * 1.2) - 2 * np.maximum(np.abs(v + 7.4) - 1.9, 0)
            self._fill(line, self.line, rows, 1.2, np.clip(self.frown, 0, 1) * 0.75)
        return sides

    def _eye(self, side: EyeSide) -> None:
        rows = slice(6, 38)
        u, v = self.u[:, rows], self.v[:, rows]
        y = self.eye_y + self.pitch * 0.8
        n = (u - side.x) / side.width * side.sign  # -1 at the inner end, 1 at the outer
        bow = 1 - n * n
        up = self.rest_lid * np.maximum(self.lid, 0.25)
        slope = self.lid_slope
        top = (
            y
            - up * bow
            + np.where(slope > 0, slope * (0.35 + 0.5 * n), -slope * (0.35 - 0.5 * n)) * 0.62
        )
        bottom = y + (1.15 - self.lower_lid) * bow
        # A cheek pushed up and lids wide open both need the lids not to cross.
        bottom = np.maximum(bottom, top + 0.75 * bow)
        self._fill(
            np.minimum(v - top + 2.0 * bow, bottom + 1.5 * bow - v),
            self.skin * 0.86,
            rows,
            2.2,
            0.55,
        )
        white = self._fill(np.minimum(v - top, bottom - v), 236, rows)
        du = (u - side.x - self.gaze - 2.0 * self.yaw) / np.float32(0.95)
        dv = v - y + 0.25
        distance = np.sqrt(du * du + dv * dv)
        self._fill(1.85 - distance, self.iris, rows, 1.0, white)
        self._fill(0.95 - distance, 8, rows, 1.0, white)
        self._fill(0.6 - np.sqrt((du + 0.7) ** 2 + (dv + 0.7) ** 2), 250, rows, 1.0, white)
        self._fill(
            0.62 - np.abs(v - top) + 0.55 * np.minimum(bow, 0) * 4, self.line * 0.6, rows, 1.1, 0.95
        )
        self._fill(
            0.4 - np.abs(v - bottom) + 0.5 * np.minimum(bow, 0) * 4, self.line, rows, 1.2, 0.6
        )
        # The fold above the lid.
        self._fill(0.4 - np.abs(v - top + 1.7) + np.minimum(bow, 0) * 3, self.line, rows, 1.4, 0.4)

    def _brow(self, side: EyeSide) -> None:
        rows = slice(0, 34)
        u, v = self.u[:, rows], self.v[:, rows]
        n = (u - side.x + side.sign * self.brow_in * 0.7) / (side.width * 1.25) * side.sign
        inner = 0.5 - 0.5 * np.clip(n, -1.3, 1.3)
        curve = (
            self.eye_y + self.pitch * 0.7 - self.brow_y - self.brow_up
            - (0.9 + self.brow_arch) * (1 - n * n) - self.brow_inner * (inner * inner - 0.2)
        )  # fmt: skip
        thick = self.brow_thick * (0.75 + 0.45 * inner)
        tone = np.minimum(self.hair * 0.75, self.skin * 0.6)  # fair brows would not be seen
        self._fill(thick * (1.05 - n * n * n * n) - np.abs(v - curve), tone, rows, 1.1, 0.92)

    def _glasses(self) -> None:
        rows, worn = slice(6, 38), self._some(0.14)
        tone, size = self._span(10, 90)[worn], self._span(4.6, 5.6)[worn]
        u, v = self.u[worn, rows], self.v[worn, rows] - (self.eye_y + self.pitch * 0.8 + 0.6)[worn]
        for sign in (-1, 1):
            x, narrow = self._turned(sign * 7.8)
            rim = (
                0.5
                - np.abs(elliptic_radius(u - x[worn], v, size * narrow[worn], size * 0.86) - 1) * 5
            )
            self._fill(rim, tone, rows, 1.1, 0.9, worn)
        x, _ = self._turned(0.0, 22.0)
        self._fill(
            np.minimum(0.5 - np.abs(v + 0.8), 2.4 - np.abs(u - x[worn])), tone, rows, 1.1, 0.9, worn
        )

    def _light(self) -> None:
        """A lamp at a random side, then contrast and brightness as a camera would choose them."""
        side, strength = self._span(0, 6.28), self._span(0, 0.36)
        lamp = (np.cos(side) * self.u + np.sin(side) * self.v * 0.7) * np.float32(1 / 18)
        self.image *= 1 + strength * np.clip(lamp, -1.3, 1.3)
        self.image -= 118
        self.image *= self._span(0.85, 1.2)
        self.image += self._span(98, 142)

    def _hide(self) -> None:
        """A quarter of the faces are partly hidden: by a bar, a hand or a strand of hair."""
        kind, tone, side = self._rng.random(self._num), self._span(15, 235), self._sign()
        angle, offset, reach = self._span(0, 3.14), self._span(-17, 17), self._span(0, 9)
        everywhere = slice(None)
        bar = np.flatnonzero(kind < 0.08)
        across = (
            np.cos(angle[bar]) * self.screen_x + np.sin(angle[bar]) * self.screen_y - offset[bar]
        )
        self._fill(2.2 - np.abs(across), tone[bar], everywhere, faces=bar)
        # A hand at the cheek: four fingers of unequal length, pointing upwards.
        hand, rows = np.flatnonzero((kind >= 0.08) & (kind < 0.16)), slice(14, FACE_SIDE)
        u, v = self.u[hand, rows] * side[hand] - 8.0, self.v[hand, rows] - reach[hand]
        u = u + 0.25 * v
        palm = np.minimum(np.minimum(u, 13.6 - u), v - 6)
        skin = self.skin[hand] * np.float32(0.9)
        self._fill(palm, skin, rows, faces=hand)
        for finger, tip in enumerate((2.5, 0.6, 0.0, 1.6)):
            middle = u - (1.7 + 3.4 * finger)
            # A rod with a round end, its sides in shadow.
            rod = 1.75 - np.sqrt(middle * middle + np.minimum(v - tip - 1.7, 0) ** 2)
            self._fill(rod, skin * np.float32(0.55), rows, faces=hand)
            self._fill(rod - 0.45, skin, rows, 1.6, faces=hand)
        lock = np.flatnonzero((kind >= 0.16) & (kind < 0.24))
        u, v = self.u[lock], self.v[lock]
        strand = 2.0 - 0.05 * v - np.abs(u - side[lock] * 9 - 3 * np.sin((v + reach[lock]) * 0.16))
        self._fill(
            np.minimum(strand, 4 + reach[lock] - v), self.hair[lock] * 0.9, everywhere, faces=lock
        )

    def _photograph(self) -> np.ndarray:
        """Blur, grain and rounding to bytes."""
        image, blur = self.image, self._span(0, 0.55)
        blur *= blur * 2  # most are nearly sharp
        for axis in (1, 2):
            soft = image.copy()
            low, high = (
                (slice(None),) * axis + (slice(None, -1),),
                (slice(None),) * axis + (slice(1, None),),
            )
            step = (image[high] - image[low]) * np.float32(0.5)
            step *= blur
            soft[low] += step
            soft[high] -= step
            image = soft
        grain = self._rng.standard_normal(image.shape, np.float32)
        grain *= self._span(1, 7)
        image += grain
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)
