"""The columns of tables, and the layout of tables on a terminal."""
