"""Configuration: the typed settings, profiles as YAML overlays, runs and report items.

    schema       every key, typed and described once
    load         profile files and overrides -> `Config`; each mistake is one line
    checks       settings that cannot stand together
    experiments  config/experiments.yaml -> runs and report items
    names        training sets and benchmarks, and where each is implemented
    extensions   parts of the network that a name chooses, from here or from outside
    nearest      the valid name most like an unknown one
    reference    the JSON schema and the reference page, generated

Nothing here imports torch: the workflow reads these modules every time it starts.
"""

from dynfocus.config.experiments import Experiments, load_experiments, run_config
from dynfocus.config.load import load_config
from dynfocus.config.schema import Config

__all__ = ["Config", "Experiments", "load_config", "load_experiments", "run_config"]
