"""The pretrained parts: visual encoder, language model, text encoder; trained small or fetched whole.

Each module has `prepare(config, out, ...)`, which leaves an ordinary open_clip or
Hugging Face checkpoint in `out`, whichever source the configuration names.
"""
