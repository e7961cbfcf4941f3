"""A scripted model provider: OpenAI's dialects without a key, a network or a model.

For demos, drills and tests. Independent of everything else here, so that what it says about the
gateway is said from outside.
"""
