"""`dataops import`: migration files of other tools become files of ours.

`readers` know how each tool names, orders and marks its files, and make an `Original` of each migration; `parts` splits
their SQL. `naming` gives each migration an id and a file name, and `writer` makes the text of our files and of
adopt.toml. All of these are pure. `folder` reads the originals, and `saving` writes what `prepare` has put together.
"""
