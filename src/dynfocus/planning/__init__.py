"""What a profile will cost before anything is spent: `dynfocus plan`.

    graph.py      every job of the workflow and what it waits for
    tables.py     reading of data/*.csv
    sizes.py      samples, frames and bytes of every set
    models.py     parameters and work of the backbones
    work.py       multiply-adds, frames, questions and bytes of every job
    rates.py      seconds per job, from recorded runs, the paper's own hours, or peak rates
    plan.py       the sums, whole and per report item
    show.py       the table on the terminal
    commands.py   `dynfocus plan` and `dynfocus doctor`

Every number is an estimate and says where it comes from; `data/*.csv` hold the recorded ones with their sources.
"""
