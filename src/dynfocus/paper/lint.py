"""Paper lint: the paper's numbers checked against each other.

Each check recomputes one printed number from others of the register (a row mean, a sum, a
difference quoted in the text, the same setting in two tables). A contradiction names the entry
of the deviation register that says what this project does about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dynfocus.paper.register import cells_of, load_cells, load_deviations, value_of

HALLUCER_CATEGORIES = ("object_relation", "temporal", "semantic_detail", "external_factual", "external_nonfactual")
WIDTH = 1408


@dataclass(frozen=True)
class Finding:
    """One identity: what is printed, what it should be, and whether they agree."""

    id: str
    statement: str
    printed: float
    recomputed: float
    decimals: int
    outcome: Literal["ok", "contradiction"]
    deviation: str = ""

    @property
    def choice(self) -> str:
        """What this project does about a contradiction."""
        if self.outcome == "ok":
            return ""
        return next((str(item.choice) for item in load_deviations() if item.id == self.deviation), "both are shown")


def compare(
    id: str, statement: str, printed: float, recomputed: float, decimals: int, deviation: str = "", slack: float = 0.5
) -> Finding:
    """Agree when the recomputed number rounds to the printed one: within `slack` units of its last digit."""
    agrees = abs(printed - recomputed) <= slack * 10**-decimals + 1e-9
    return Finding(id, statement, printed, recomputed, decimals, "ok" if agrees else "contradiction", deviation)


def titled(table: str) -> str:
    """A table of the register as people call it: `table_7` is Table 7."""
    return table.replace("_", " ").capitalize()


def check_hallucer_means() -> list[Finding]:
    """Overall of Table 8 is the unweighted mean of the five Final columns."""
    values = {cell.id: cell for cell in cells_of("table_8")}
    findings = []
    for cell in values.values():
        if not cell.id.endswith(".overall") or cell.number is None:
            continue
        model = cell.id.split(".")[1]
        finals = [values[f"table_8.{model}.{category}.accuracy"].number for category in HALLUCER_CATEGORIES]
        mean = sum(number for number in finals if number is not None) / len(finals)
        statement = f"Table 8, {cell.row}: Overall is the mean of five Final"
        findings.append(compare(f"table_8.{model}", statement, cell.number, mean, cell.decimals, "table_8_overall"))
    return findings


def check_hallucer_bounds() -> list[Finding]:
    """A pair counts as Final only when both halves are right, so Final lies between b + h - 100 and min(b, h)."""
    cells = {cell.id: cell for cell in cells_of("table_8")}
    values = {key: cell.number for key, cell in cells.items()}
    models = dict.fromkeys(key.split(".")[1] for key in values)
    findings = []
    for model in models:
        for category in HALLUCER_CATEGORIES:
            basic, halluc, final = (
                values[f"table_8.{model}.{category}.{metric}"]
                for metric in ("basic_accuracy", "halluc_accuracy", "accuracy")
            )
            if basic is None or halluc is None or final is None:
                continue
            possible = min(max(final, basic + halluc - 100), basic, halluc)
            row = cells[f"table_8.{model}.{category}.accuracy"].row
            statement = f"Table 8, {row}, {category.replace('_', ' ')}: Final is possible given Basic and Halluc."
            findings.append(
                compare(f"table_8.{model}.{category}", statement, final, possible, 1, "table_8_factual_bound")
            )
    return findings


def check_training_hours() -> list[Finding]:
    """Totals of Table 2 are the sums of the two stages."""
    return [
        compare(
            f"table_2.{row}",
            f"Table 2, {label}: Total is Stage 1 + Stage 2",
            value_of(f"table_2.{row}.total_hours"),
            value_of(f"table_2.{row}.alignment_hours") + value_of(f"table_2.{row}.instruction_hours"),
            2,
        )
        for row, label in (("without", "w/o DPE+CCE"), ("with", "w DPE+CCE"))
    ]


def check_quoted_numbers() -> list[Finding]:
    """Differences and values that the text quotes from its tables."""
    return [
        compare(
            "text.gain_training_state",
            "B.1: the gain of 0.16 on VCG-Bench is Table 1, row 4 - row 1",
            value_of("text.gain_training_state"),
            value_of("table_1.row_4.vcg_score") - value_of("table_1.row_1.vcg_score"),
            2,
        ),
        compare(
            "text.gain_videochat2",
            "B.8: the gain of 28.3 % is DynFocus† - VideoChat2 in Table 8",
            value_of("text.gain_videochat2"),
            value_of("table_8.dynfocus_rectified.overall") - value_of("table_8.videochat2.overall"),
            1,
            "gain_over_videochat2",
        ),
        compare(
            "text.msvd_video_only",
            "B.6: 67.9 % on MSVD-QA is Table 7",
            value_of("text.msvd_video_only"),
            value_of("table_7.dynfocus_video.msvd_accuracy"),
            1,
        ),
        compare(
            "text.token_reduction",
            "B.3: 40 tokens are approximately 60 % fewer than 112 (within 5 points)",
            value_of("b_3.reduction"),
            100 * (1 - value_of("b_3.dynfocus.cone") / value_of("b_3.chat_univi.event")),
            0,
            slack=5,
        ),
    ]


def check_constants() -> list[Finding]:
    """The constants of C.1 against each other and against Tables 7 and 11."""
    patches, objects, rods = (
        value_of("c_1.pooled_patches"),
        value_of("c_1.object_prototypes"),
        value_of("c_1.rod_tokens"),
    )
    return [
        compare(
            "c_1.cone_tokens",
            "A cone has P + I + J tokens",
            value_of("b_3.dynfocus.cone"),
            patches + objects + rods,
            0,
            "cone_tokens",
        ),
        compare(
            "c_1.ratio",
            "K/L = 0.8 with K = 20 and L = 25",
            value_of("b_7.default_ratio"),
            value_of("c_1.selected_prototypes") / value_of("c_1.event_prototypes"),
            1,
        ),
        compare(
            "table_7.label",
            "The K = 25 of Table 7's labels is the K of C.1",
            25,
            value_of("c_1.selected_prototypes"),
            0,
            "table_7_labels",
        ),
        compare(
            "table_11.alignment_learning_rate",
            "The stage-1 learning rate of C.1 is that of Table 11",
            value_of("c_1.alignment_learning_rate"),
            value_of("table_11.learning_rate.alignment"),
            4,
            "alignment_learning_rate",
        ),
        compare(
            "table_11.instruction_learning_rate",
            "The stage-2 learning rate of C.1 is that of Table 11",
            value_of("c_1.instruction_learning_rate"),
            value_of("table_11.learning_rate.instruction"),
            6,
        ),
        compare(
            "table_11.instruction_batch",
            "The stage-2 batch of C.1 is that of Table 11",
            value_of("c_1.instruction_batch"),
            value_of("table_11.global_batch.instruction"),
            0,
        ),
        compare(
            "table_3.selection_macs",
            "Table 3: 12.91 G are 1,000 prototypes through 2d → 2d, 2d → d, d → d/2 and d/2 → 1 "
            "(B.2 prints shapes that start at d; within 1 %)",
            value_of("table_3.dynamic_selection.gflops"),
            selection_multiply_adds(WIDTH, 1000) / 1e9,
            2,
            "table_3_columns",
            slack=13,
        ),
    ]


def selection_multiply_adds(width: int, prototypes: int) -> float:
    """Multiply-adds of the dynamic selection: Linear(e, e), then e -> e/2 -> e/4 -> 1, with e = 2·width."""
    e = 2 * width
    return prototypes * (e * e + e * e / 2 + e * e / 8 + e / 4)


def check_same_setting() -> list[Finding]:
    """DynFocus on video data occurs in Tables 1, 5, 6, 7 and the rod / cone ablation; the numbers must agree."""
    same = [
        ("table_1.row_4.msvd_accuracy", "table_7.dynfocus_video.msvd_accuracy", 2, ""),
        ("table_5.dpc_knn.msvd_accuracy", "table_7.dynfocus_video.msvd_accuracy", 1, ""),
        ("table_6.concat_multi.msvd_accuracy", "table_7.dynfocus_video.msvd_accuracy", 2, ""),
        ("rod_cone.rod2_cone40.msvd_accuracy", "table_7.dynfocus_video.msvd_accuracy", 1, ""),
        ("table_1.row_4.msvd_score", "table_6.concat_multi.msvd_score", 2, ""),
        ("table_7.dynfocus_video.msvd_score", "table_6.concat_multi.msvd_score", 1, ""),
        ("table_1.row_4.vcg_score", "table_6.concat_multi.vcg_score", 2, ""),
        ("table_7.dynfocus_video.vcg_score", "table_1.row_4.vcg_score", 2, "vcg_video_only"),
        ("table_7.dynfocus_video.vcg_score", "table_6.concat_multi.vcg_score", 2, "vcg_video_only"),
        ("main.video_mme_accuracy", "table_7.dynfocus_all.video_mme_accuracy", 1, ""),
    ]
    cells = {cell.id: cell for cell in load_cells()}
    return [
        compare(
            f"same.{left}~{right.split('.')[0]}",
            f"{titled(cells[left].table)}, {cells[left].row.replace(' | ', ', ')}, {cells[left].column} equals "
            f"{titled(cells[right].table)}",
            value_of(left),
            value_of(right),
            decimals,
            deviation,
        )
        for left, right, decimals, deviation in same
    ]


def run() -> list[Finding]:
    """All checks, contradictions first."""
    findings = [
        *check_quoted_numbers(),
        *check_same_setting(),
        *check_constants(),
        *check_training_hours(),
        *check_hallucer_means(),
        *check_hallucer_bounds(),
    ]
    return sorted(findings, key=lambda finding: finding.outcome == "ok")
