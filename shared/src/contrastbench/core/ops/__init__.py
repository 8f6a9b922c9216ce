"""What is hot. One folder an op: ``reference.py`` says what it computes, ``api.py`` how it is called."""
