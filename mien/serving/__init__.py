"""The web page and the HTTP API: `mien serve`. Needs mien's extra `[serve]`.

docs/api.md describes the API for those who call it, docs/security.md what it withstands.
"""
