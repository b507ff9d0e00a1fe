"""Every evaluation of the paper in three restartable steps: answer, judge, score.

`answer.py` lets a model answer the questions of all benchmarks of a run (needs torch), `judge.py`
has open-ended answers marked, `score.py` turns both into score records (numpy only, seconds).
Everything is keyed by (benchmark, question id), never by position. `benchmarks/` holds one small
adapter per benchmark, `judges/` who marks.
"""
