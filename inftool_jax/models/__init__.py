"""One decoder for every model family: definition, attention, Hugging Face import and export."""
