"""Commands that every role answers by itself."""
