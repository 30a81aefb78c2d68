"""The review page: a server on this machine that shows a version of a corpus, plays it, and takes decisions."""
