"""A bucket with labelled frames, and what a pod needs to reach it."""

from io import BytesIO

import boto3
import numpy as np

COUNT, SIDE = 48, 32


def put_frames(endpoint: str, key: str) -> str:
    """Put an npz of grey frames with a square in each into the bucket; return its URL."""
    rng = np.random.default_rng(0)
    masks_NHW = np.ones((COUNT, SIDE, SIDE), np.uint8)
    for mask_HW, (top, left) in zip(masks_NHW, rng.integers(2, 18, (COUNT, 2)), strict=True):
        mask_HW[top : top + 12, left : left + 12] = 2
    noise_NHW = rng.integers(0, 60, masks_NHW.shape)
    images_NHWC = (masks_NHW * 60 + noise_NHW).astype(np.uint8)[..., None]
    file = BytesIO()
    np.savez_compressed(file, images=images_NHWC, masks=masks_NHW)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.put_object(Bucket="models", Key=key, Body=file.getvalue())
    return f"s3://models/{key}"
