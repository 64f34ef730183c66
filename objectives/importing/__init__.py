"""Exports of labelling tools turned into a folder of images and masks: COCO, LabelMe, YOLO, Label
Studio, and Kaggle's tables of runs.

It reads what they say of outlines and pixels and draws it; what a folder of frames is, `objectives.data` says.
"""
