"""Training sets: raw official files to one record form (layout of the folders: LAYOUT.md)."""

from dynfocus.datasets.media import locate, media_of
from dynfocus.datasets.records import IMAGE_TOKEN, Record, TrainingSet, cut_rounds, media_path, modality, rounds
from dynfocus.datasets.registry import load_records, training_set
from dynfocus.datasets.statistics import sources, statistics

__all__ = [
    "IMAGE_TOKEN",
    "Record",
    "TrainingSet",
    "cut_rounds",
    "load_records",
    "locate",
    "media_of",
    "media_path",
    "modality",
    "rounds",
    "sources",
    "statistics",
    "training_set",
]
