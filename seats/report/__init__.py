"""What a results file says: FLOPs, latency, retention, failures; of one file, or of two side by side.

`report` reads, `Report.document` is the JSON document, `page.write_page` writes the HTML page.
"""

from seats.report.build import report
from seats.report.results import ResultsError
from seats.report.summary import SCHEMA, Report

__all__ = ["SCHEMA", "Report", "ResultsError", "report"]
