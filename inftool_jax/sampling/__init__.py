"""The batched sampler: programs on the device, a scheduler on the host."""
