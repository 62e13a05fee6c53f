"""Messages to tokens and back: chat template, incremental rendering, call parser."""
