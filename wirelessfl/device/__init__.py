"""The clients' hardware at run time: how long training takes, when it can start, what it costs."""
