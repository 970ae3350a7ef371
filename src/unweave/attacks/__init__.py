"""Room: attacks. Pure functions from arrays to scores per example; a higher score is always more likely a member."""
