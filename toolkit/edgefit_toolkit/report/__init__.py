"""The benchmark report: one versioned document (schema), rendered as JSON, Markdown, HTML and CSV."""
