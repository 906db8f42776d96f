"""edgefit from Python: the calls behind `import edgefit_toolkit as edgefit`. The command line is built on the same."""
