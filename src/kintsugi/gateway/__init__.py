"""The enforcement point: judges every request, answer and tool call, and records each decision.

To read it, follow one request:

* bytes: ``server`` reads a client's, ``carrier`` executes what its exchange commands, ``upstream``
  and ``resolve`` call the model, ``wire`` writes heads; ``shell`` is what they share.
* an exchange, which decides and performs nothing: ``events`` come in and ``commands`` go out of
  ``exchange`` (a model) or ``mcp_exchange`` (an MCP server). What both owe their evidence is in
  ``recorded_exchange``, whom they ask first in ``overseen_exchange``. ``account`` and
  ``mcp_account`` hold what is known about one.
* what is in it: ``dialects`` for models; ``mcp_requests``, ``mcp_messages``, ``mcp_session`` and
  ``mcp_stream``; ``identity`` says who asks.
* its policies: ``in_force`` is the plan and all that goes with it; ``judgement`` and
  ``mcp_judgement`` ask it, ``facts`` say what it needs counted or asked, ``transforms`` change
  bodies, ``repeated`` finds what an answer repeats.
* streams: ``sse`` finds frames, ``streaming`` holds back what may not leave yet, ``chunks``
  remembers the pieces.
* where it goes: ``routing`` and ``attempts``. What the gateway itself says: ``answers`` and
  ``mcp_answers``.

A worker is one process of it: ``worker`` wires the above, ``gathering`` counts and asks for it,
``oversight`` is what people decided, ``link`` its way to the supervisor, ``metrics`` its numbers.

The supervisor starts the workers: ``supervisor`` with its ``settings``, ``listeners``, ``loading``
(which configuration) and ``worker_messages`` (what they say to each other). It keeps what workers
share: ``counters`` in ``counter_service``, people's decisions in ``oversight_keeper``,
``relaxed_watch``. It speaks with the ``control_plane``: ``follower`` gets configurations,
``shipper`` sends the journals' records (``journal_records``, ``journal_backlog``,
``kept_segments``). ``recovery`` writes down what a death interrupted, and ``journal_retention``
trims where there is no control plane.
"""
