"""What the official script of each benchmark reads out of a reply, faults included, so that numbers compare.

Each function names the script and the revision that it follows; scripts/compare_official.py runs those scripts beside
it on the public annotations. This project's own reading is in `parsing.py`.
"""

from __future__ import annotations

import re

VIDEO_MME_REVISION = "afd52cf (23 June 2024)"
"""Latest revision of thanku-all/parse_answer, eval_your_results.py."""
VIDEO_MME_FIRST_REVISION = "0379c42 (18 June 2024)"
_VIDEO_MME_FIRST = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is" + "The correct option is",
    "Best answer:" + "Best option:",
)
_VIDEO_MME = (*_VIDEO_MME_FIRST, "Answer:", "Option:", "The correct answer", "The correct option")


def video_mme(reply: str, first_revision: bool = False) -> str | None:
    """Video-MME: known lead-ins are deleted in turn, then the first of A-D anywhere counts.

    Two lead-ins are fused pairs (missing commas), so "The best option is", "Best answer:" and "Best option:" stay and
    may donate their own capital letter. The first revision has four lead-ins less: "Answer: C" is A there and C since.
    None (no letter) leaves the row out of the accuracy.
    """
    text = reply.strip()
    for lead_in in _VIDEO_MME_FIRST if first_revision else _VIDEO_MME:
        text = text.replace(lead_in, "")
    first = re.search("[ABCD]", text)
    return first.group() if first else None


def lvbench_polished(reply: str) -> str:
    """LVBench's cleaning helper, which its scorer does not call: the first letter after "(" or of the first word."""
    text = reply.strip().split(")")[0].strip()
    if "(" in text:
        text = text.split("(")[1].strip()
    return text.split(" ")[0][:1]


def mlvu(reply: str) -> str:
    """MLVU, choice_bench.py: the character before the first ")", or the whole reply."""
    position = reply.find(")")
    return reply if position < 0 else reply[position - 1 : position]


def videohallucer(reply: str, gold: str) -> bool:
    """VideoHallucer's hit: the gold word anywhere in the reply; a reply with both words hits both."""
    return re.search(rf"\b{re.escape(gold)}\b", reply, re.IGNORECASE) is not None


def scienceqa(reply: str) -> str | None:
    """ScienceQA, LLaVA's eval_science_qa.py: a letter A-E, "A. ...", or one "The answer is A."."""
    if reply in tuple("ABCDE"):
        return reply
    if len(reply) >= 3 and reply[0] in "ABCDE" and reply[1:3] == ". ":
        return reply[0]
    stated = re.findall(r"The answer is ([A-Z]).", reply)
    return stated[0] if len(stated) == 1 else None
