"""The process that runs users' JavaScript: a program of its own, started by `real_scripts`."""
