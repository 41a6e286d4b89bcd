"""`wirelessfl report`: one HTML file that tells what came of a run, a comparison or a sweep."""

from wirelessfl.study.report.compose import report, report_folder

__all__ = ["report", "report_folder"]
