"""Head pose: yaw, pitch and roll from five landmarks.

The landmarks are matched with those of a mean face in 3D (Perspective-n-Point, OpenCV's SQPNP:
Terzakis and Lourakis 2020, https://doi.org/10.1007/978-3-030-58452-8_28). The mean face's x and y
are where YuNet sees the landmarks of FER2013's pictures (`mien.vision.align`); its depths are those
of MediaPipe's canonical face model.

Angles are measured between the face and the line of sight to it, so they need no camera: somebody
at the edge of a wide picture who looks straight into the camera has yaw 0. Nobody has a mean face,
and in five points an open mouth looks like a tilted chin. Even with 68 true landmarks, mean
absolute errors are 6 degrees of yaw, 12 of pitch and 8 of roll (AFLW2000, Ruiz et al. 2018, table
1, https://arxiv.org/abs/1710.00925). docs/photos.md has the errors measured here. The pose is the
head's direction, not the gaze.
"""

from __future__ import annotations

import math

import numpy as np

from mien.errors import UsageError

# In distances between the eyes, x to the right of the picture, y down, z away from the viewer.
MEAN_FACE = np.array(
    [
        (-0.500, 0.000, 0.000),
        (0.500, 0.000, 0.000),
        (0.000, 0.546, -0.590),
        (-0.413, 0.967, -0.075),
        (0.413, 0.967, -0.075),
    ]
)
MEAN_FACE -= MEAN_FACE.mean(0)
CAMERA_DISTANCE = 16.0  # to the camera, in distances between the eyes: about a metre


def head_pose(landmarks: np.ndarray) -> tuple[float, float, float] | None:
    """Yaw, pitch and roll of a head in degrees.

    Args:
        landmarks: float (5, 2) pixels: right eye, left eye, nose tip, right and left corner of the
            mouth, of the person.

    Returns:
        Yaw from -90 to 90, above 0 where the face looks to the right of the picture; pitch from
        -90 to 90, above 0 where it looks up; roll from -180 to 180, above 0 where the head is
        tilted clockwise in the picture. The head is first turned by yaw, then by pitch, then by
        roll as the viewer sees it. None if the points are not a face (all in one place or on one
        line).

    Raises:
        UsageError: for another shape.

    >>> yaw, pitch, roll = head_pose(100 * MEAN_FACE[:, :2] * 16 / (16 + MEAN_FACE[:, 2:]))
    >>> abs(round(yaw)), abs(round(pitch)), abs(round(roll))
    (0, 0, 0)
    """
    import cv2

    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2):
        raise UsageError(
            f"head pose: got landmarks {points.shape}; expected (5, 2). Fix: give five points"
        )
    middle = points.mean(0)
    size = float(np.sqrt(((points - middle) ** 2).sum() / (MEAN_FACE**2).sum()))
    if not (math.isfinite(size) and size > 0):
        return None
    # The picture from a camera that looks at the centre of the face.
    projected = (points - middle) / size / CAMERA_DISTANCE
    if np.linalg.svd(projected, compute_uv=False)[1] * CAMERA_DISTANCE < 0.05:
        return None
    camera = np.eye(3)
    try:
        solved, vector, _ = cv2.solvePnP(
            MEAN_FACE, projected, camera, None, flags=cv2.SOLVEPNP_SQPNP
        )
    except cv2.error:
        return None
    if not solved or not np.isfinite(vector).all():
        return None
    return angles(cv2.Rodrigues(vector)[0])


def angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, as of `head_pose`, from a rotation matrix (3, 3)."""
    ahead = -rotation[:, 2]  # where the nose points: x right, y down, z away
    yaw = math.atan2(ahead[0], -ahead[2])
    pitch = math.asin(min(1.0, max(-1.0, -float(ahead[1]))))
    # The rotation that remains when yaw and pitch are undone.
    rest = turned(math.degrees(yaw), math.degrees(pitch), 0.0).T @ rotation
    roll = math.atan2(rest[1, 0], rest[0, 0])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """float64 (3, 3): the rotation of a face by angles in degrees, the inverse of `angles`."""
    (sy, cy), (sp, cp), (sr, cr) = (
        (math.sin(math.radians(v)), math.cos(math.radians(v))) for v in (yaw, pitch, roll)
    )
    about_y = np.array([(cy, 0, -sy), (0, 1, 0), (sy, 0, cy)])
    about_x = np.array([(1, 0, 0), (0, cp, sp), (0, -sp, cp)])
    about_z = np.array([(cr, -sr, 0), (sr, cr, 0), (0, 0, 1)])
    return np.asarray(about_y @ about_x @ about_z)
