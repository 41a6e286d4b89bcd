from __future__ import annotations

import pickle
import subprocess
import sys

from wirelessfl.learning.jobs import DivergedError


def test_jobs_are_imported_without_torch():
    code = "import sys, wirelessfl.learning.jobs; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_divergence_survives_a_trip_between_processes():
    error = pickle.loads(pickle.dumps(DivergedError(client=3, round=7)))
    assert (error.client, error.round) == (3, 7)
    assert "client 3" in str(error)
    assert "round 7" in str(error)
