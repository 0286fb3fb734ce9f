"""Are interpretable music emotion models more robust? The functions behind the notebooks.

Rooms, ground floor first (a file imports only from floors below): ``places`` and ``audio``, ``spectrogram``,
``metrics``, ``dataset`` and ``preparation``, ``descriptors``, ``models``, ``bim``, ``runs``, ``training``,
``evaluation``, ``listening`` and ``plots``.
"""

__version__ = "0.1.0"
