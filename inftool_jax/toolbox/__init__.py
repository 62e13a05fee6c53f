"""Relations between tools: which look alike (`similarity`), and whose output feeds whose input (`graph`)."""
