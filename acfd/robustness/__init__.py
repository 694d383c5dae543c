"""What trained runs say of degraded copies of test faces.

copies    the copies themselves
score     what a run says of them
curves    AUC and balanced accuracy by level, from the stored scores
"""
