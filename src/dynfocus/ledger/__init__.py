"""The data ledger: where every real set comes from, its download, and the check of what arrived.

entries.py    config/datasets.yaml, typed: sources, revisions, sizes, checksums, licences, states
pins.py       what downloads recorded: data/{set}/source.json, config/datasets.lock.json
http.py       one file by HTTP: resumed, retried, verified
hub.py        files of a Hugging Face repository at one commit
archives.py   zip and tar, whole or split, unpacked without leaving their folder
prepare.py    all parts of one set
visit.py      every source visited, none downloaded
coverage.py   every video and image opened, failures counted by kind
table.py      the ledger as a table
"""
