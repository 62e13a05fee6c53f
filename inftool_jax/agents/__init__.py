"""The roles of a conversation: scripted user, scripted assistant, policy assistant."""
