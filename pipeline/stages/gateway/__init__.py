"""The gateway: signed webhooks in, journalled events out; `202` means on disk.

app ─ routes, HTTP ─▶ intake ─ verify, duplicates, parse, journal ─▶ committer ─ group commit ─▶ dispatch

`server` and `protocol` put `app` on a port; `journal` says what the intake needs of a journal, and
`fake` is one in memory for tests.
"""
