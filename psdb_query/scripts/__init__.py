"""JavaScript as the query language sees it: values on their way to scripts and back."""
