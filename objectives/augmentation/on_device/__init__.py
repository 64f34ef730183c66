"""Augmentation of whole batches on the device that trains: what albumentations does, but for elastic
deformation and copy-paste.

Numbers are drawn on the host for a whole epoch, as a function of each frame's seed; pixels never leave the
device. It knows no order of frames and no epochs.
"""
