"""Are interpretable music emotion models more robust? The functions behind the notebooks.

Rooms, ground floor first (a file imports only from floors below): ``places``, ``audio``, ``spectrogram``, ``metrics``;
``checks``, ``splits``, ``dataset``, ``download``; ``measures``, ``descriptors``; ``shortcut``, ``preparation``;
``models``, ``precision``, ``bim``; ``runs``, ``training``, ``evaluation``; ``listening``, ``hearing``, ``explorer``;
``captions``, ``tables``, ``plots``, ``robustness_plots``; ``starting``, what notebooks open with.
"""

__version__ = "0.1.0"
