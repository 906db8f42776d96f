"""What an app answers: up a tree of groups, and none of these."""
