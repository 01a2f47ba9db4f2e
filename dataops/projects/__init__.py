"""For `dataops init`: what migrations a folder has, what to propose for them, and the files of a new project.

`finding` reads the folder, `proposing` makes the paragraphs of dataops.toml, `standing` says where a database stands
and what comes next, `skeleton` has the text of a new project's files, and `writing` writes all files or none.
"""
