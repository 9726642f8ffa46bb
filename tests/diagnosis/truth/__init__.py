"""Ground truth for the doctor: clean runs, and one labelled defect put into each.

`python -m tests.diagnosis.truth` measures every detector against it. The defects follow the definitions and
not the detectors, so that what is measured does not grade itself.
"""
