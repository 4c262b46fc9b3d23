"""Text search: languages, words and their stems, what a search asks for, and scores."""
