"""Are interpretable music emotion models more robust? The functions behind the notebooks.

Rooms, ground floor first (a file imports only from floors below): ``places``, ``audio``, ``spectrogram``, ``metrics``;
``checks``, ``splits``, ``dataset``, ``download``; ``measures``, ``descriptors``; ``shortcut``, ``preparation``;
``models``, ``precision``, ``rendering``, ``perceptibility``, ``bim``, ``losses``, ``attacks`` and its
relatives; ``runs``, ``training``, ``evaluation``; ``listening``, ``hearing``, ``explorer``;
``captions``, ``tables``, ``plots``, ``robustness_plots``; ``starting``, what notebooks open with;
``statistics``, ``comparisons``, ``credibility``; ``published``, ``reread``.
"""

__version__ = "0.1.0"
