"""Room: language, the only slice by modality: corpora, tokens, causal models."""
