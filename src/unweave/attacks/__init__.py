"""Room: attacks. Pure functions from arrays to scores per example; higher is always more likely a member."""
