"""Where studies and trials are kept for people to compare: the only package that knows MLflow."""

from archsearch.tracking.curves import learning_curves_png
from archsearch.tracking.manage import delete_study
from archsearch.tracking.mlflow_tracker import MlflowTracker
from archsearch.tracking.names import design_label, run_name, study_note
from archsearch.tracking.records import DatasetRecord, StudyRecord, Tracker, TrialRecord
from archsearch.tracking.server import UiServer, serve_ui, start_ui
from archsearch.tracking.view import compare_url, study_url

__all__ = [
    "DatasetRecord",
    "MlflowTracker",
    "StudyRecord",
    "Tracker",
    "TrialRecord",
    "UiServer",
    "compare_url",
    "delete_study",
    "design_label",
    "learning_curves_png",
    "run_name",
    "serve_ui",
    "start_ui",
    "study_note",
    "study_url",
]
