"""The report on a study: one self-contained HTML file, without scripts, that asks nothing of any
network.

`reading` asks the database once; `numbers`, `importance` and `groups` compute; `drawing` and
`charts` draw; the modules under `sections` say it in words and tables; `page` puts them together
and writes the file.
"""
