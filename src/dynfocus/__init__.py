"""DynFocus: a reproducible workflow for the video LLM of CVPR 2025 (arXiv 2411.12355)."""

__version__ = "0.1.0"
