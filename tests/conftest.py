"""What all tests share: which files are scripts and not tests."""

collect_ignore = ["calibration/calibrate.py", "calibration/null_trials.py"]
