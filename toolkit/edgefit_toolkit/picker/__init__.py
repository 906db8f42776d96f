"""The largest network under a budget: the search, its proof by measuring, the plan. Pure."""
