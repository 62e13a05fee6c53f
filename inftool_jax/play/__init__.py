"""One conversation, and thousands of them: agents, server and tokens brought together."""
