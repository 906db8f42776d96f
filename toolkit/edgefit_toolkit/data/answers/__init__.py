"""What an app says: names up a tree, none of these, places and seasons."""
