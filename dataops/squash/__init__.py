"""`dataops squash`: one file in the place of many, which makes in an empty database what they make.

`choosing` says which files, `making` runs them in a scratch database and reads what they made, `data` says which of
them carry data, `writer` makes the text of the new file, and `saving` puts it in the place of the old ones. The new
file has the id of the newest of them (see docs/adr/0018).
"""
