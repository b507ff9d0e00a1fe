"""Measurements that need a model: latency, computation, redundancy, explanations of single films."""
