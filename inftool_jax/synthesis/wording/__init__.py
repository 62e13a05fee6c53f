"""From gold calls to the user's words: verb phrases, mentions of arguments, families of phrasing."""
