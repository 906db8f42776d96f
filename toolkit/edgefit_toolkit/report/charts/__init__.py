"""The report's charts, each from its part of the document to one <svg>. No chart shows a figure that the page's tables
do not also say in words."""
