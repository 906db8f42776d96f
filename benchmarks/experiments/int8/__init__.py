"""int8 against float: the ladder, the guard, and other tools."""
