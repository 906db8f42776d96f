"""Our own small runner over LiteRT's C API: its source, and the script that makes a self-contained bundle of it."""
