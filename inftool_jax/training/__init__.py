"""SFT, the GRPO update, the optimizer and checkpoints."""
