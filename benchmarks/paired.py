"""Two methods on the same questions, from the rows that `seats eval --out` kept: the difference with its interval.

    seats eval shapes-and-sounds --method seats --method seats+ --keep 10 --keep 5 --out rows.jsonl
    python benchmarks/record.py seats-plus -- python benchmarks/paired.py rows.jsonl seats+ seats

One JSON document on standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from seats.evaluation.statistics import compare


def rows_by_label(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Answered rows by the setting's name and the question's digest. Exits where a name stands for several settings."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    settings: dict[str, str] = {}
    for line in filter(str.strip, path.read_text(encoding="utf-8").split("\n")):
        row = json.loads(line)
        if row["status"] == "answered":
            if settings.setdefault(row["label"], row["setting"]) != row["setting"]:
                sys.exit(f"{path} has rows of {row['label']} that were asked otherwise, such as with another --kv")
            found.setdefault(row["label"], {})[row["question"]] = row
    return found


def flops_share(rows: list[dict[str, Any]]) -> float:
    """FLOPs from the encoders' output to the first answer token, as a share of full tokens'."""
    return sum(row["llm_flops"] for row in rows) / sum(row["llm_flops_full"] for row in rows)


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path, ours, theirs = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    try:
        labels = rows_by_label(path)
    except OSError as error:
        sys.exit(f"{path} cannot be read ({error.strerror})")
    except (ValueError, KeyError, TypeError):
        sys.exit(f"{path} is no file of rows that seats eval wrote")
    found = []
    for label, of_ours in labels.items():
        name, _, keep = label.partition(" ")  # "seats 10%", "seats 10% video 20%", "seats video 20% audio 40%", "full"
        other = labels.get(theirs if theirs == "full" else f"{theirs} {keep}", {})
        both = sorted(of_ours.keys() & other.keys())
        if name != ours or not both:
            continue
        a, b = [of_ours[question] for question in both], [other[question] for question in both]
        right_a, right_b = ([bool(row.get("right")) for row in rows] for rows in (a, b))
        clips = [row["clip"] for row in a]
        difference = compare(right_a, right_b, clips)
        found.append(
            {
                "keep": keep,
                "questions": len(both),
                "clips": len(set(clips)),
                ours: {"accuracy": sum(right_a) / len(both), "llm_flops_share": flops_share(a)},
                theirs: {"accuracy": sum(right_b) / len(both), "llm_flops_share": flops_share(b)},
                "difference": difference.difference,
                "difference_interval_95": list(difference.difference_interval),
            }
        )
    if not found:
        sys.exit(
            f"{path} has no questions that {ours} and {theirs} answered at the same retention; it has rows of "
            f"{', '.join(labels) or 'nothing that was answered'}"
        )
    print(json.dumps({"method": ours, "against": theirs, "results": found}))


if __name__ == "__main__":
    main()
