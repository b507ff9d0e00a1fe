"""Configuration: the typed settings, profiles as YAML overlays, runs and report items, and the jobs they imply.

    schema       every key, typed and described once
    load         profile files and overrides -> `Config`; each mistake is one line
    experiments  config/experiments.yaml -> runs and report items
    slices       the part of the settings that each step depends on, and its hash
    jobs         what the workflow has to make for a configuration
    layout       where each artefact lives below `root`
    reference    the JSON schema and the reference page, generated

Nothing here imports torch: the workflow reads these modules every time it starts.
"""

from dynfocus.config.experiments import Experiments, load_experiments, run_config
from dynfocus.config.load import load_config
from dynfocus.config.schema import Config

__all__ = ["Config", "Experiments", "load_config", "load_experiments", "run_config"]
