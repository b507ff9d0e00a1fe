"""A checkpoint as a model of the hub: from a film on disk to an answer with transformers alone.

    import dynfocus.hub                                     # or trust_remote_code=True below
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)       # a folder that `dynfocus export-model` made
    model = AutoModelForImageTextToText.from_pretrained(folder)

Importing it registers the processor that reads media; `dynfocus.network` alone has one for stored features.
"""

from transformers import AutoProcessor, AutoVideoProcessor

from dynfocus.hub.processor import DynFocusMediaProcessor
from dynfocus.hub.video_processor import DynFocusVideoProcessor
from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration

AutoVideoProcessor.register(DynFocusConfig, DynFocusVideoProcessor, exist_ok=True)


class ExportedConfig(DynFocusConfig):
    """The key of the processor that reads media: a folder names it, and one of the workflow keeps the other."""


AutoProcessor.register(ExportedConfig, DynFocusMediaProcessor, exist_ok=True)

__all__ = ["DynFocusConfig", "DynFocusForConditionalGeneration", "DynFocusMediaProcessor", "DynFocusVideoProcessor"]
